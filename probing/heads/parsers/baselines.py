"""Parsers that read nothing but places: the head stands at a fixed offset."""

from collections.abc import Sequence

import numpy as np

from ..relations import OFFSETS
from .features import LEFT_OUT, ParserInput
from .trees import ROOT


def offset_heads(words: int, offset: int) -> np.ndarray:
    """Every head at word + offset, ROOT where that is outside the sentence: (word,).

    Offset 1 is the right-branching tree: each word hangs from the next, the last from ROOT.
    """
    heads = np.arange(words) + offset
    return np.where((heads >= 0) & (heads < words), heads, ROOT)


def best_offset(sentences: Sequence[ParserInput]) -> int:
    """The one of `OFFSETS` with the best UAS; ties take the first."""
    correct = [
        sum(int(correct_words(s, offset_heads(len(s), offset)).sum()) for s in sentences)
        for offset in OFFSETS
    ]
    return OFFSETS[int(np.argmax(correct))]


def correct_words(sentence: ParserInput, heads: np.ndarray) -> np.ndarray:
    """Whether each word that counts has its gold head: (word that counts,)."""
    gold = sentence.gold.numpy()
    return (heads + 1 == gold)[gold != LEFT_OUT]
