"""Training and evaluation parts: splitting one corpus, and refusing parts that overlap."""

from ...corpora import Corpus
from ...corpora.text import units_of
from ...errors import CorpusError


def split_documents(corpus: Corpus) -> tuple[Corpus, Corpus]:
    """A training and an evaluation part for when there is one corpus only.

    Documents alternate, beginning with training; with fewer than two documents sentences do.

    Raises:
        CorpusError: there are fewer than two sentences.
    """
    if len(corpus) < 2:
        raise CorpusError(
            f"{corpus.name} has {len(corpus)} sentence; at least 2 are needed to train on some "
            "and evaluate on others."
        )
    unit = "document" if len(corpus.documents) >= 2 else "sentence"
    units = units_of(list(corpus.sentences), unit)

    def part(remainder: int, name: str) -> Corpus:
        chosen = (
            sentence
            for sentence, number in zip(corpus.sentences, units, strict=True)
            if number % 2 == remainder
        )
        return Corpus(f"{corpus.name} ({name} {unit}s)", tuple(chosen), corpus.sha256)

    return part(0, "even"), part(1, "odd")


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
