"""Heads as dependency parsers (Clark et al. 2019, section 4.2): maps, predictions, accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ...corpora import Encoding
from ...stats import bootstrap_ratio, is_descriptive, wilson

DIRECTIONS = ("dependent_to_head", "head_to_dependent")
#: Baseline offsets in order of preference among ties: nearest first, then to the right.
OFFSETS = (1, -1, 2, -2, 3, -3)
#: Every word but the root and punctuation.
ALL = "all"


def word_maps(attention: Tensor, membership: Tensor) -> Tensor:
    """Attention between words: columns summed, rows averaged, specials dropped, diagonal zero.

    Args:
        attention: (batch, head, query, key).
        membership: (batch, token, word), 1 where the token belongs to the word.

    Returns:
        (batch, head, word, word).
    """
    sizes = membership.sum(1).clamp(min=1)[:, None, None]  # (batch, 1, 1, word)
    to_words = attention @ membership[:, None]
    maps = (membership[:, None] / sizes).transpose(2, 3) @ to_words
    maps.diagonal(dim1=2, dim2=3).zero_()
    return maps


def membership(encodings: Sequence[Encoding], mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Which token belongs to which word: (batch, token, word)."""
    words = max(len(encoding.sentence) for encoding in encodings)
    belongs = torch.zeros(*mask.shape, words, dtype=dtype)
    for row, encoding in enumerate(encodings):
        tokens = np.flatnonzero(mask[row].cpu().numpy())
        inside = encoding.words >= 0
        belongs[row, tokens[inside], encoding.words[inside]] = 1
    return belongs.to(mask.device)


def predict_heads(maps: Tensor) -> Tensor:
    """The head that a map predicts for every word, in both directions.

    `dependent_to_head` takes the largest weight of the word's row, `head_to_dependent` of its
    column (the word that attends most to it); ties take the first word.

    Args:
        maps: (…, word, word) with a zero diagonal.

    Returns:
        (…, direction, word); -1 where the row or column is all zero.
    """
    answers = []
    for view in (maps, maps.transpose(-1, -2)):
        weight, word = view.max(-1).values, view.argmax(-1)
        answers.append(torch.where(weight > 0, word, -1))
    return torch.stack(answers, dim=-2)


@dataclass(frozen=True)
class Dependents:
    """The dependents of a corpus that a head can get right; arrays have shape (dependent,)."""

    sentence: np.ndarray
    word: np.ndarray
    head: np.ndarray
    relation: np.ndarray
    """UD label with subtype."""
    unit: np.ndarray
    length: np.ndarray
    """Words in the sentence."""
    left_out: int
    """Pairs with a word that has no token."""

    def __len__(self) -> int:
        return len(self.word)

    @cached_property
    def relations(self) -> list[str]:
        """`all`, then the labels by falling frequency."""
        labels, counts = np.unique(self.relation, return_counts=True)
        return [ALL, *(str(label) for label in labels[np.lexsort((labels, -counts))])]

    def of(self, relation: str) -> np.ndarray:
        """Indices of the dependents of a relation."""
        chosen = self.relation != "punct" if relation == ALL else self.relation == relation
        return np.flatnonzero(chosen)

    def offset_correct(self) -> np.ndarray:
        """Whether dependent + offset is the head: (dependent, offset), in order of `OFFSETS`."""
        return (self.head - self.word)[:, None] == np.array(OFFSETS)


def gold_dependents(encodings: Sequence[Encoding], units: Sequence[int]) -> Dependents:
    """Collect the dependents of encoded sentences; the root has no row."""
    rows: list[tuple[int, int, int, str, int, int]] = []
    left_out = 0
    for number, (encoding, unit) in enumerate(zip(encodings, units, strict=True)):
        sentence, tokens = encoding.sentence, encoding.word_tokens
        for word, (head, label) in enumerate(zip(sentence.heads, sentence.deprels, strict=True)):
            if head < 0:
                continue
            if tokens[word] == 0 or tokens[head] == 0:
                left_out += 1
                continue
            rows.append((number, word, head, label, unit, len(sentence)))
    sentence_, word_, head_, relation, unit_, length = zip(*rows, strict=True) if rows else [()] * 6
    return Dependents(
        np.array(sentence_, dtype=int),
        np.array(word_, dtype=int),
        np.array(head_, dtype=int),
        np.array(relation, dtype=str),
        np.array(unit_, dtype=int),
        np.array(length, dtype=int),
        left_out,
    )


def score(dependents: Dependents, predictions: Sequence[np.ndarray]) -> np.ndarray:
    """Whether each head got each dependent right.

    Args:
        predictions: per sentence (layer, head, direction, word).

    Returns:
        (dependent, layer, head, direction), boolean.
    """
    right = [
        predictions[sentence][..., word] == head
        for sentence, word, head in zip(
            dependents.sentence, dependents.word, dependents.head, strict=True
        )
    ]
    return np.stack(right)


def best_offset(correct: np.ndarray) -> int:
    """Index into `OFFSETS` of the best fixed offset, from (dependent, offset)."""
    return int(correct.sum(0).argmax())


def sums_by_unit(values: np.ndarray, units: np.ndarray, count: int) -> np.ndarray:
    """Sum rows over units: (unit, …)."""
    sums = np.zeros((count, *values.shape[1:]))
    np.add.at(sums, units, values)
    return sums


def accuracy_interval(
    correct: np.ndarray, units: np.ndarray, *, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
    """Pooled accuracy with its interval, over units where there is enough data, else Wilson's.

    Args:
        correct: (dependent, …), boolean.
        units: (dependent,).

    Returns:
        Accuracy, low, high, each (…), and whether they are only descriptive.
    """
    count = int(units.max()) + 1
    descriptive = bool(is_descriptive(len(correct), len(np.unique(units))))
    hits = correct.sum(0)
    if descriptive:
        low, high = wilson(hits, np.full(hits.shape, len(correct)))
        return hits / len(correct), low, high, True
    sums = sums_by_unit(correct, units, count)
    accuracy, low, high = bootstrap_ratio(
        sums, np.bincount(units, minlength=count).astype(float), seed=seed
    )
    return accuracy, low, high, False


def relation_table(dependents: Dependents, correct: np.ndarray, *, seed: int) -> pd.DataFrame:
    """The table `relations.csv`: every relation, direction and head, next to the offset baseline.

    Args:
        correct: (dependent, layer, head, direction), from `score`.
    """
    offsets = dependents.offset_correct()
    parts = []
    for relation in dependents.relations:
        rows = dependents.of(relation)
        if len(rows) == 0:
            continue
        accuracy, low, high, descriptive = accuracy_interval(
            correct[rows], dependents.unit[rows], seed=seed
        )
        offset = best_offset(offsets[rows])
        layers, heads, _ = accuracy.shape
        index = pd.MultiIndex.from_product(
            [[relation], DIRECTIONS, range(layers), range(heads)],
            names=["relation", "direction", "layer", "head"],
        )
        part = {
            "accuracy": np.moveaxis(accuracy, 2, 0).ravel(),
            "ci_low": np.moveaxis(low, 2, 0).ravel(),
            "ci_high": np.moveaxis(high, 2, 0).ravel(),
            "n": len(rows),
            "baseline_offset": OFFSETS[offset],
            "baseline_accuracy": offsets[rows, offset].mean(),
            "descriptive": descriptive,
        }
        parts.append(pd.DataFrame(part, index=index).reset_index())
    return pd.concat(parts, ignore_index=True)
