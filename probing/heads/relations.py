"""Heads as dependency parsers (Clark et al. 2019, section 4.2): maps, predictions, accuracy."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ...corpora import Encoding, Sentence
from ...errors import CorpusError
from .accuracy import head_accuracies
from .hits import Hits

DIRECTIONS = ("dependent_to_head", "head_to_dependent")
#: Baseline offsets in order of preference among ties: nearest first, then to the right.
OFFSETS = (1, -1, 2, -2, 3, -3)
#: The relation of all words together; which words these are, `ALL_WORDS` says.
ALL = "all"
#: Every word but the root and punctuation, or every word, as in the code of Clark et al. 2019: the
#: root then counts as a word whose head nothing can name.
ALL_WORDS = ("scored", "every")
#: UD labels as they stand, or without what follows the colon (`nsubj:pass` is `nsubj`).
LABELS = ("subtypes", "universal")


def universal(label: str) -> str:
    """A UD label without its subtype."""
    return label.partition(":")[0]


def membership(encodings: Sequence[Encoding], mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Which token belongs to which word: (batch, token, word)."""
    words = max(len(encoding.sentence) for encoding in encodings)
    belongs = torch.zeros(*mask.shape, words, dtype=dtype)
    for row, (encoding, present) in enumerate(zip(encodings, mask.cpu().numpy(), strict=True)):
        tokens = np.flatnonzero(present)
        inside = encoding.words >= 0
        belongs[row, tokens[inside], encoding.words[inside]] = 1
    return belongs.to(mask.device)


def predict_heads(maps: np.ndarray) -> np.ndarray:
    """The head that a map predicts for every word, in both directions.

    `dependent_to_head` takes the largest weight of the word's row, `head_to_dependent` of its
    column (the word that attends most to it); ties take the first word.

    Args:
        maps: (…, word, word) with a zero diagonal.

    Returns:
        (…, direction, word); -1 where the row or column is all zero.
    """
    answers = []
    # numpy finds the first largest of a row of memory many times faster than torch.
    for view in (maps, np.ascontiguousarray(maps.swapaxes(-1, -2))):
        word = view.argmax(-1)
        weight = np.take_along_axis(view, word[..., None], -1)[..., 0]
        answers.append(np.where(weight > 0, word, -1).astype(np.int16))
    return np.stack(answers, axis=-2)


@dataclass(frozen=True)
class Dependents:
    """The dependents of a corpus that a head can get right; arrays have shape (dependent,)."""

    sentence: np.ndarray
    word: np.ndarray
    head: np.ndarray
    """-1 for a root, which only `all` of `every` word counts."""
    relation: np.ndarray
    """UD label; objects, because most labels are one of a few strings."""
    unit: np.ndarray
    length: np.ndarray
    """Words in the sentence."""
    left_out: int
    """Pairs with a word that has no token."""
    all_words: str = "scored"

    def __len__(self) -> int:
        return len(self.word)

    @cached_property
    def relations(self) -> list[str]:
        """`all`, then the labels by falling frequency; a root has none."""
        labels, counts = np.unique(self.relation[self.head >= 0], return_counts=True)
        return [ALL, *(str(label) for label in labels[np.lexsort((labels, -counts))])]

    def of(self, relation: str) -> np.ndarray:
        """Indices of the dependents of a relation."""
        if relation != ALL:
            return np.flatnonzero((self.relation == relation) & (self.head >= 0))
        if self.all_words == "every":
            return np.arange(len(self))
        marks = [label for label in self.relations if universal(label) == "punct"]
        return np.flatnonzero(~np.isin(self.relation, marks))

    def offset_correct(self) -> np.ndarray:
        """Whether dependent + offset is the head: (dependent, offset), in order of `OFFSETS`."""
        offsets = np.where(self.head < 0, 0, self.head - self.word)
        return offsets[:, None] == np.array(OFFSETS)


def gold_dependents(
    sentences: Sequence[Sentence],
    word_tokens: Sequence[np.ndarray],
    units: Sequence[int],
    *,
    labels: str = "subtypes",
    all_words: str = "scored",
) -> Dependents:
    """Collect the dependents of sentences, in their order.

    Args:
        word_tokens: per sentence (word,), how many tokens each word has.
        units: the unit that each sentence belongs to.
        labels: one of `LABELS`.
        all_words: one of `ALL_WORDS`.

    Raises:
        CorpusError: an option that does not exist.
    """
    _check_option("labels", labels, LABELS)
    _check_option("all_words", all_words, ALL_WORDS)
    name = universal if labels == "universal" else str
    # Typed arrays, not tuples: a large treebank has millions of words.
    numbers = [array("i") for _ in range(5)]
    relations: list[str] = []
    left_out = 0
    for number, (sentence, tokens, unit) in enumerate(
        zip(sentences, word_tokens, units, strict=True)
    ):
        for word, (head, label) in enumerate(zip(sentence.heads, sentence.deprels, strict=True)):
            if head < 0 and all_words == "scored":
                continue
            if tokens[word] == 0 or (head >= 0 and tokens[head] == 0):
                left_out += 1
                continue
            row = (number, word, head, unit, len(sentence))
            for column, value in zip(numbers, row, strict=True):
                column.append(value)
            relations.append(name(label))
    sentence_, word_, head_, unit_, length = (np.array(column, np.int32) for column in numbers)
    relation = np.array(relations, dtype=object)
    return Dependents(sentence_, word_, head_, relation, unit_, length, left_out, all_words)


def _check_option(name: str, value: str, legal: Sequence[str]) -> None:
    if value not in legal:
        raise CorpusError(f"{name} is {value!r}; it must be one of {', '.join(legal)}.")


def score(dependents: Dependents, predicted: Iterable[tuple[int, np.ndarray]]) -> Hits:
    """Whether each head got each dependent right.

    Args:
        predicted: the number of each sentence with (word, layer, head, direction).

    Returns:
        (dependent, layer, head, direction).
    """
    hits: Hits | None = None
    for sentence, answers in predicted:
        if hits is None:
            hits = Hits.empty(len(dependents), answers.shape[1:])
        start, end = np.searchsorted(dependents.sentence, [sentence, sentence + 1])
        words, heads = dependents.word[start:end], dependents.head[start:end]
        heads = heads[:, None, None, None]
        # A map that predicts none (-1) is no more right about a root than any other.
        hits.put(slice(start, end), (answers[words] == heads) & (heads >= 0))
    return Hits.empty(0, (0, 0, 0)) if hits is None else hits


def best_offset(correct: np.ndarray) -> int:
    """Index into `OFFSETS` of the best fixed offset, from (dependent, offset)."""
    return int(correct.sum(0).argmax())


def relation_table(
    dependents: Dependents, correct: Hits | np.ndarray, *, seed: int
) -> pd.DataFrame:
    """The table `relations.csv`: every relation, direction and head, next to the offset baseline.

    Args:
        correct: (dependent, layer, head, direction), from `score`.

    Raises:
        CorpusError: there is no dependent.
    """
    if not len(dependents):
        raise CorpusError(
            "No sentence with a dependency tree of two words or more fits the model; give shorter "
            "sentences, or others."
        )
    offsets = dependents.offset_correct()
    parts = []
    for relation in dependents.relations:
        rows = dependents.of(relation)
        if len(rows) == 0:
            continue
        offset = best_offset(offsets[rows])
        part = head_accuracies(correct, rows, dependents.unit, DIRECTIONS, seed=seed)
        part.insert(0, "relation", relation)
        part.insert(8, "baseline_offset", OFFSETS[offset])
        part.insert(9, "baseline_accuracy", offsets[rows, offset].mean())
        parts.append(part)
    return pd.concat(parts, ignore_index=True)
