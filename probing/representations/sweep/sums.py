"""Intervals and tests over the units of the evaluation items."""

from dataclasses import dataclass

import numpy as np

from ....stats import bootstrap_ratio, is_descriptive, sign_flip
from ..measures.over_units import sums_over_units


@dataclass(frozen=True)
class Units:
    """The units of the evaluation items of a task, and what each item counts."""

    of_item: np.ndarray
    """(item,), the document or sentence of each item."""
    seed: int
    counts: np.ndarray | None = None
    """(item,), what a value is out of: 1 for an item that is right or wrong (the default)."""

    @property
    def descriptive(self) -> bool:
        """Whether there is too little data for tests."""
        return bool(is_descriptive(len(self.of_item), len(np.unique(self.of_item))))

    @property
    def n(self) -> int:
        """What all values are out of."""
        return len(self.of_item) if self.counts is None else round(float(self.counts.sum()))

    def intervals(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sum of values over that of counts and its bootstrap interval over units, (…) each.

        Args:
            values: (…, item); all are resampled together, so that differences are paired.
        """
        sums, items = sums_over_units(values, self.of_item)
        if self.counts is not None:
            items, _ = sums_over_units(self.counts, self.of_item)
        return bootstrap_ratio(sums, items, seed=self.seed)

    def p_values(self, differences: np.ndarray, *, two_sided: bool) -> np.ndarray:
        """Sign-flips over units of paired differences (…, item); NaN where data is too little."""
        if self.descriptive:
            return np.full(differences.shape[:-1], np.nan)
        sums, _ = sums_over_units(differences, self.of_item)
        return sign_flip(sums, seed=self.seed, two_sided=two_sided)
