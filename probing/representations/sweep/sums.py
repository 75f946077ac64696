"""Sums over units: what every interval and every test of a sweep is made from."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from ....stats import bootstrap_ratio, is_descriptive, sign_flip


@dataclass(frozen=True)
class Units:
    """The units of the evaluation items of a task."""

    of_item: np.ndarray
    """(item,), the document or sentence of each item."""
    seed: int

    @cached_property
    def descriptive(self) -> bool:
        """Whether there is too little data for tests."""
        return bool(is_descriptive(len(self.of_item), len(self._counts)))

    def intervals(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean over items and its bootstrap interval over units, shape (…) each.

        Args:
            values: (…, item); all are resampled together, so that differences are paired.
        """
        return bootstrap_ratio(self._sums(values), self._counts, seed=self.seed)

    def p_values(self, differences: np.ndarray, *, two_sided: bool) -> np.ndarray:
        """Sign-flips over units of paired differences (…, item); NaN where data is too little."""
        if self.descriptive:
            return np.full(differences.shape[:-1], np.nan)
        return sign_flip(self._sums(differences), seed=self.seed, two_sided=two_sided)

    def _sums(self, values: np.ndarray) -> np.ndarray:
        flat = values.reshape(-1, values.shape[-1])
        return (self._members @ flat.T).reshape(-1, *values.shape[:-1])

    @cached_property
    def _members(self) -> sparse.csr_array:
        """(unit, item), 1 where the item is of the unit."""
        present, unit = np.unique(self.of_item, return_inverse=True)
        ones = np.ones(len(unit))
        shape = (len(present), len(unit))
        return sparse.csr_array((ones, (unit, np.arange(len(unit)))), shape=shape)

    @property
    def _counts(self) -> np.ndarray:
        return np.asarray(self._members.sum(axis=1))
