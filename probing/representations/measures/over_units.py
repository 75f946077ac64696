"""Means over items with their intervals over units."""

import numpy as np

from ....stats import bootstrap_ratio, is_descriptive


def mean_over_units(
    values: np.ndarray, units: np.ndarray, *, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
    """Mean over items, its bootstrap interval, and whether there is too little data for one.

    All values are resampled together, so that differences are paired.

    Args:
        values: (…, item).
        units: (item,), the document or sentence of each item.

    Returns:
        Mean, lower and upper end, each of shape (…); the ends are NaN if there is too little.
    """
    sums, counts = sums_over_units(values, units)
    mean, low, high = bootstrap_ratio(sums, counts, seed=seed)
    few = bool(is_descriptive(len(units), len(counts)))
    if few:
        low, high = np.full_like(low, np.nan), np.full_like(high, np.nan)
    return mean, low, high, few


def sums_over_units(values: np.ndarray, units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sum of values (…, item) in each unit, (unit, …), and the items of each, (unit,)."""
    order = np.argsort(units, kind="stable")
    _, starts, counts = np.unique(units[order], return_index=True, return_counts=True)
    sums = np.add.reduceat(values[..., order].astype(float), starts, axis=-1)
    return np.moveaxis(sums, -1, 0), counts
