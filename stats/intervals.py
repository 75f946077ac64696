"""Intervals for many cells at once, from one set of bootstrap draws."""

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
from scipy.stats import norm

DRAWS = 2000
LEVEL = 0.95
#: Below either, an interval is descriptive and no p-value is given.
MIN_COUNTS, MIN_UNITS = 30, 10
#: Draws are made in blocks of this many weights, so that memory does not grow with the corpus;
#: up to the second number they are made at once and kept for the next analysis.
_BLOCK, _KEPT = 500_000, 1_500_000


def bootstrap_ratio(
    numerator: np.ndarray,
    denominator: np.ndarray,
    *,
    seed: int,
    draws: int = DRAWS,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ratio of sums over units, with a percentile bootstrap interval over units.

    A mean over sentences is the ratio of its sums to the sentence counts of each unit. All
    cells share the draws. A ratio whose denominator is not above 0 is NaN; the interval is over the
    other draws.

    Args:
        numerator: (unit, …), sums of each unit.
        denominator: (unit,) or the shape of `numerator`.

    Returns:
        Estimate, lower and upper end of the 95 % interval, each of shape (…).
    """
    units, shape = len(numerator), numerator.shape[1:]
    top = numerator.reshape(units, -1).astype(float, copy=False)
    bottom = denominator.reshape(units, -1).astype(float, copy=False)
    samples = [_ratio(weights, top, bottom) for weights in _weights(units, draws, seed)]
    estimate = _ratio(np.ones((1, units)), top, bottom)[0]
    edge = (1 - LEVEL) / 2
    low, high = _percentiles(np.concatenate(samples), [edge, 1 - edge])
    if units < 2:
        # One unit resampled is itself every time: no interval, not one of no width.
        low, high = np.full_like(low, np.nan), np.full_like(high, np.nan)
    return estimate.reshape(shape), low.reshape(shape), high.reshape(shape)


def bootstrap_of(
    statistic: Callable[[np.ndarray], np.ndarray], units: int, *, seed: int, draws: int = DRAWS
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile bootstrap interval over units of any statistic.

    The draws are those of `bootstrap_ratio`. A draw in which a cell is NaN does not count for it.

    Args:
        statistic: of (draw, unit), how often each draw contains each unit: (draw, …).

    Returns:
        Lower and upper end of the 95 % interval, each (…).
    """
    samples = np.concatenate([statistic(weights) for weights in _weights(units, draws, seed)])
    edge = (1 - LEVEL) / 2
    low, high = _percentiles(samples, [edge, 1 - edge])
    if units < 2:
        low, high = np.full_like(low, np.nan), np.full_like(high, np.nan)
    return low, high


def wilson(successes: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's score interval (95 %) of a proportion (Wilson 1927); NaN where there is no count."""
    k, n = np.asarray(successes, dtype=float), np.asarray(counts, dtype=float)
    z = norm.ppf(0.5 + LEVEL / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = (k + z**2 / 2) / (n + z**2)
        half = z / (n + z**2) * np.sqrt(k * (n - k) / n + z**2 / 4)
    # Rounding must not leave the range of a proportion.
    low, high = np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)
    return np.where(n > 0, low, np.nan), np.where(n > 0, high, np.nan)


def is_descriptive(counts: np.ndarray | int, units: np.ndarray | int) -> np.ndarray:
    """Whether there is too little data for more than a description (below 30 or 10 units)."""
    return (np.asarray(counts) < MIN_COUNTS) | (np.asarray(units) < MIN_UNITS)


def _weights(units: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """How often each draw contains each unit: blocks of (draw, unit)."""
    if units * draws <= _KEPT:
        yield _cached_weights(units, draws, seed)
        return
    generator = np.random.default_rng(seed)
    size = max(1, _BLOCK // units)
    for start in range(0, draws, size):
        yield _resample(generator, units, min(size, draws - start))


@lru_cache(maxsize=4)
def _cached_weights(units: int, draws: int, seed: int) -> np.ndarray:
    # Analyses ask for the same draws once per relation, task or score.
    return _resample(np.random.default_rng(seed), units, draws)


def _resample(generator: np.random.Generator, units: int, draws: int) -> np.ndarray:
    chosen = generator.integers(units, size=(draws, units)) + units * np.arange(draws)[:, None]
    return np.bincount(chosen.ravel(), minlength=draws * units).reshape(draws, units).astype(float)


def _ratio(weights: np.ndarray, top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    below = weights @ bottom
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below > 0, (weights @ top) / below, np.nan)


def _percentiles(samples: np.ndarray, edges: list[float]) -> np.ndarray:
    if np.isnan(samples).any():
        # A draw may miss every unit of a rare cell; the interval is then over the other draws.
        empty = np.isnan(samples).all(axis=0)
        filled = np.where(empty, 0.0, samples)
        return np.where(empty, np.nan, np.nanquantile(filled, edges, axis=0))
    return np.quantile(samples, edges, axis=0)
