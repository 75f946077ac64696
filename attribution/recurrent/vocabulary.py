"""Words as numbers."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ...corpora import Sentence

PADDING, UNKNOWN = 0, 1


@dataclass(frozen=True)
class Vocabulary:
    """Lower-cased words that occur often enough in training; all others are one unknown word."""

    words: tuple[str, ...]
    """The word of number 2, 3, …; 0 is padding, 1 the unknown word."""

    @classmethod
    def of(cls, sentences: Iterable[Sentence], *, min_count: int = 2) -> "Vocabulary":
        """Words that occur at least `min_count` times, by frequency, then in sorted order."""
        counts = Counter(word.lower() for sentence in sentences for word in sentence.words)
        often = [word for word, count in counts.items() if count >= min_count]
        return cls(tuple(sorted(often, key=lambda word: (-counts[word], word))))

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words, start=2)}

    def ids(self, sentence: Sentence) -> Tensor:
        """(word,), int64."""
        numbers = self._numbers
        return torch.tensor([numbers.get(word.lower(), UNKNOWN) for word in sentence.words])

    def __len__(self) -> int:
        return len(self.words) + 2
