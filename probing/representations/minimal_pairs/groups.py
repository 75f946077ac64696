"""Groups of pairs: which of them are independent, and means over them with their intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ....corpora import MinimalPair
from ....stats import bootstrap_ratio, is_descriptive, sign_flip, wilson


def units_of_pairs(pairs: Sequence[MinimalPair]) -> np.ndarray:
    """(pair,): the unit of each pair. Pairs that share a sentence are one unit."""
    number: dict[str, int] = {}
    ends = [
        [number.setdefault(text, len(number)) for text in (pair.good, pair.bad)] for pair in pairs
    ]
    good, bad = np.array(ends).T
    links = coo_array((np.ones(len(good)), (good, bad)), shape=(len(number), len(number)))
    component = connected_components(links, directed=False)[1]
    return np.asarray(np.unique(component[good], return_inverse=True)[1])


@dataclass(frozen=True)
class PairGroup:
    """Pairs whose values are averaged.

    The paradigms are those of the data set, not a sample, so intervals are over the pairs within
    them: a bootstrap over units of what a pair's value has beside the mean of its paradigm.
    """

    paradigms: np.ndarray
    """(pair,)"""
    units: np.ndarray
    """(pair,)"""
    pooled: bool = False
    """Whether pairs, not paradigms, have equal weight in the mean."""

    def __len__(self) -> int:
        return len(self.paradigms)

    @property
    def descriptive(self) -> bool:
        """Whether there are too few pairs for tests and intervals of differences."""
        return bool(is_descriptive(len(self), len(np.unique(self.units))))

    @cached_property
    def _paradigm(self) -> np.ndarray:
        return np.asarray(np.unique(self.paradigms, return_inverse=True)[1])

    @cached_property
    def weights(self) -> np.ndarray:
        """(pair,), summing to 1."""
        if self.pooled:
            return np.full(len(self), 1 / len(self))
        counts = np.bincount(self._paradigm)
        return np.asarray(1 / (len(counts) * counts[self._paradigm]))

    def average(self, values: np.ndarray) -> np.ndarray:
        """The mean of values (pair, quantity): (quantity,)."""
        # Means of means, because weights of a third each need not add up to 1 to the last bit.
        parts = values if self.pooled else self._within(values)
        return np.asarray(parts.mean(axis=0))

    def _within(self, values: np.ndarray) -> np.ndarray:
        """The mean of values (pair, quantity) in each paradigm: (paradigm, quantity)."""
        return _sums(values, self._paradigm) / np.bincount(self._paradigm)[:, None]

    def mean(self, values: np.ndarray, *, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Means of values (pair, quantity) and the ends of their intervals: (quantity,) each.

        The ends are NaN for a descriptive group.
        """
        mean = self.average(values)
        if self.descriptive:
            return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)
        spread = values - self._within(values)[self._paradigm]
        moved = mean + len(self) * self.weights[:, None] * spread
        units = np.unique(self.units, return_inverse=True)[1]
        _, low, high = bootstrap_ratio(
            _sums(moved, units), np.bincount(units).astype(float), seed=seed
        )
        return mean, low, high

    def accuracy(
        self, correct: np.ndarray, *, seed: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`mean` of shares of right answers.

        Wilson's interval for a descriptive group, and where no answer differs from the others of
        its paradigm, so that resampling would show no spread.
        """
        mean, low, high = self.mean(correct, seed=seed)
        wilson_low, wilson_high = wilson(mean * len(self), np.full(mean.shape, len(self)))
        bare = np.isnan(low) | np.isclose(low, high, rtol=0, atol=1e-9)
        return mean, np.where(bare, wilson_low, low), np.where(bare, wilson_high, high)

    def p(self, values: np.ndarray, *, seed: int) -> np.ndarray:
        """Two-sided p-values that the means of values (pair, quantity) are 0: (quantity,).

        Sign-flips over units; NaN for a descriptive group.
        """
        if self.descriptive:
            return np.full(values.shape[1], np.nan)
        units = np.unique(self.units, return_inverse=True)[1]
        return sign_flip(_sums(self.weights[:, None] * values, units), seed=seed, two_sided=True)


def _sums(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Sums of values (pair, quantity) over the pairs of each group: (group, quantity)."""
    sums = np.zeros((groups.max() + 1, values.shape[1]))
    np.add.at(sums, groups, values)
    return sums
