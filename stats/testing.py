"""Paired tests by sign-flips, and correction for many looks."""

from collections.abc import Callable, Iterator

import numpy as np
from scipy.stats import false_discovery_control

FLIPS = 10_000
#: Flips are made in blocks of this many signs, so that memory does not grow with the corpus.
_BLOCK = 500_000


def sign_flip(differences: np.ndarray, *, seed: int, two_sided: bool) -> np.ndarray:
    """p-values that paired differences are centred on zero, from random sign-flips of units.

    Args:
        differences: (unit, …), the sum of the differences of each unit.
        two_sided: else the alternative is that the differences are positive.

    Returns:
        (…), at least 1 / (flips + 1): the observed signs count as one of the draws.
    """
    units, shape = len(differences), differences.shape[1:]
    cells = differences.reshape(units, -1).astype(float)
    observed = cells.sum(0)
    # Sums of the same numbers in another order may differ in the last bits.
    slack = 1e-9 * np.abs(cells).sum(0)
    reached = np.zeros(cells.shape[1])
    for signs in _signs(units, seed):
        flipped = signs @ cells
        if two_sided:
            reached += (np.abs(flipped) >= np.abs(observed) - slack).sum(0)
        else:
            reached += (flipped >= observed - slack).sum(0)
    return ((reached + 1) / (FLIPS + 1)).reshape(shape)


def max_t(differences: np.ndarray, *, seed: int) -> np.ndarray:
    """Two-sided p-values of many cells, adjusted by the largest |t| of each sign-flip.

    Single-step max-T (Westfall & Young 1993, algorithm 2.5): controls the chance of any
    false positive among the cells, whatever their dependence. Cells without any difference
    get 1.

    Args:
        differences: (unit, …), all cells of one family.
    """
    units, shape = len(differences), differences.shape[1:]
    cells = differences.reshape(units, -1).astype(float)
    # Flips leave the sum of squares as it is, so this order is the order of |t|.
    size = np.sqrt((cells**2).sum(0))
    scaled = np.divide(cells, size, out=np.zeros_like(cells), where=size > 0)
    observed = np.abs(scaled.sum(0))
    reached = np.zeros(cells.shape[1])
    for signs in _signs(units, seed):
        largest = np.abs(signs @ scaled).max(1, keepdims=True)
        reached += (largest >= observed - 1e-9).sum(0)
    return ((reached + 1) / (FLIPS + 1)).reshape(shape)


def exchange_max_t(
    statistic: Callable[[np.ndarray], np.ndarray], units: int, *, seed: int, flips: int = FLIPS
) -> np.ndarray:
    """`max_t` for a difference that is no sum over units, such as one of two correlations.

    The two sides of random units are exchanged. Cells are compared in the standard deviation
    of their own differences under exchange, which for sums over units is what `max_t` does.
    Cells whose difference is 0, or never another, get 1.

    Args:
        statistic: of (flip, unit), True where the sides are exchanged: differences (flip, cell).

    Returns:
        (cell,), two-sided adjusted p-values.
    """
    observed = statistic(np.zeros((1, units), dtype=bool))[0]
    drawn = np.concatenate([statistic(signs < 0) for signs in _signs(units, seed, flips)])
    # Not defined, as the correlation of a constant: no candidate for the largest.
    drawn = np.nan_to_num(drawn)
    size = np.sqrt((drawn**2).mean(0))
    drawn = np.abs(np.divide(drawn, size, out=np.zeros_like(drawn), where=size > 0))
    own = np.abs(np.divide(observed, size, out=np.zeros_like(observed), where=size > 0))
    reached = (drawn.max(1, keepdims=True) >= own - 1e-9).sum(0)
    return np.where(np.isnan(observed), np.nan, (reached + 1) / (flips + 1))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down adjusted p-values (Holm 1979); NaN stays NaN and is not counted."""
    p = np.asarray(p_values, dtype=float)
    adjusted = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def benjamini_hochberg(p_values: np.ndarray) -> np.ndarray:
    """Adjusted p-values controlling the false discovery rate; NaN stays NaN."""
    p = np.asarray(p_values, dtype=float)
    adjusted = np.full(p.shape, np.nan)
    known = ~np.isnan(p)
    if known.any():
        adjusted[known] = false_discovery_control(p[known])
    return adjusted


def _signs(units: int, seed: int, flips: int = FLIPS) -> Iterator[np.ndarray]:
    """Blocks of random signs, `flips` rows in all."""
    generator = np.random.default_rng(seed)
    size = max(1, min(flips, _BLOCK // units))
    for start in range(0, flips, size):
        yield generator.choice(np.array([-1.0, 1.0]), size=(min(size, flips - start), units))
