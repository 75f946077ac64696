"""Training and evaluation parts by document, sentence or word type, and whether they overlap."""

import numpy as np

from ...corpora import Corpus
from ...corpora.text import units_of
from ...errors import CorpusError
from .items import Items


def split_documents(corpus: Corpus) -> tuple[Corpus, Corpus]:
    """A training and an evaluation part for when there is one corpus only.

    Documents alternate, beginning with training; with fewer than two documents sentences do.

    Raises:
        CorpusError: there are fewer than two sentences.
    """
    return _alternating(corpus, "document" if len(corpus.documents) >= 2 else "sentence")


def split_sentences(corpus: Corpus) -> tuple[Corpus, Corpus]:
    """The same by sentence, so that both parts have all documents: easier, as topics are shared.

    Raises:
        CorpusError: there are fewer than two sentences.
    """
    return _alternating(corpus, "sentence")


def split_types(train: Items, evaluate: Items, seed: int = 0) -> tuple[Items, Items]:
    """Training and evaluation items that share no type (form of the item's words).

    One half of all types, drawn at random, is kept in training, the other in evaluation. Give the
    same items twice to split one corpus; give parts that share no sentence to have that too.

    Raises:
        CorpusError: a part is left without items.
    """
    types = np.unique(np.concatenate([train.types, evaluate.types]))
    drawn = np.random.default_rng(seed).permutation(types)[: len(types) // 2]
    parts = train[~np.isin(train.types, drawn)], evaluate[np.isin(evaluate.types, drawn)]
    if not all(map(len, parts)):
        raise CorpusError(
            f"The task {train.task!r} has {len(types)} types of words, and a split of them leaves "
            f"{len(parts[0])} items in training and {len(parts[1])} in evaluation; give more text."
        )
    return parts


def unseen_types(train: Items, evaluate: Items) -> np.ndarray:
    """Whether the type of each evaluation item is absent from training: (item,) bool."""
    return ~np.isin(evaluate.types, train.types)


def check_apart(train: Corpus, evaluate: Corpus) -> None:
    """Refuse an evaluation part that holds sentences of the training part.

    Sentences are the same if their document, id, text and annotation are.

    Raises:
        CorpusError: they share a sentence.
    """
    same = set(train.sentences) & set(evaluate.sentences)
    if same:
        raise CorpusError(
            f"{len(same)} sentences of {evaluate.name} are also in {train.name}, beginning with "
            f"{min(sentence.id for sentence in same)!r}: a probe would be scored on what it was "
            "trained on. Give two files, or split one with split_documents."
        )


def count_shared_texts(train: Corpus, evaluate: Corpus) -> int:
    """Number of evaluation sentences whose text occurs in training, such as "Thanks."."""
    known = {sentence.text for sentence in train.sentences}
    return sum(sentence.text in known for sentence in evaluate.sentences)


def _alternating(corpus: Corpus, unit: str) -> tuple[Corpus, Corpus]:
    if len(corpus) < 2:
        raise CorpusError(
            f"{corpus.name} has {len(corpus)} sentence; at least 2 are needed to train on some "
            "and evaluate on others."
        )
    units = units_of(list(corpus.sentences), unit)

    def part(remainder: int, name: str) -> Corpus:
        chosen = (
            sentence
            for sentence, number in zip(corpus.sentences, units, strict=True)
            if number % 2 == remainder
        )
        return Corpus(f"{corpus.name} ({name} {unit}s)", tuple(chosen), corpus.sha256)

    return part(0, "even"), part(1, "odd")
