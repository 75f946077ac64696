"""Means over sentences with intervals over units, where some sentences are left out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..stats import bootstrap_ratio, is_descriptive


@dataclass(frozen=True)
class Means:
    """One mean per cell; arrays have the shape of the cells."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n: np.ndarray
    """Sentences that the mean is over."""
    units: np.ndarray
    """Units that these sentences belong to."""

    @property
    def descriptive(self) -> np.ndarray:
        """Where there is too little data for more than a description."""
        return is_descriptive(self.n, self.units)


def mean_over_units(values: np.ndarray, units: Sequence[int], seed: int) -> Means:
    """Mean of each cell with a percentile bootstrap interval over units.

    Args:
        values: (sentence, …), NaN where a sentence is left out of a cell.
        units: for each sentence, the number of its unit.
    """
    of_unit = np.unique(np.asarray(units), return_inverse=True)[1]
    there = ~np.isnan(values)
    shape = (of_unit.max() + 1, *values.shape[1:])
    totals, counts = np.zeros(shape), np.zeros(shape)
    np.add.at(totals, of_unit, np.where(there, values, 0.0))
    np.add.at(counts, of_unit, there)
    mean, low, high = bootstrap_ratio(totals, counts, seed=seed)
    return Means(mean, low, high, there.sum(0), (counts > 0).sum(0))


def mean_of(values: np.ndarray) -> np.ndarray:
    """The mean over sentences (sentence, …) that have one; NaN where none has."""
    there = ~np.isnan(values)
    counts = there.sum(0)
    totals = np.where(there, values, 0.0).sum(0)
    return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)
