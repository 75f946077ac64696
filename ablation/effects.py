"""From the statistics of examples to effects with intervals and p-values."""

import numpy as np
import pandas as pd

from ..stats import DRAWS, bootstrap_of, bootstrap_ratio, exchange_max_t, is_descriptive, max_t
from .metrics import Metric
from .setting import sums_of_units

#: Differences this small, relative to the score, are rounding. The test statistic has no scale,
#: so it would take rounding that always goes one way for an effect.
_ROUNDING = 1e-6
#: A metric that is no function of sums is computed anew from all examples of each draw.
RECOMPUTED_DRAWS, RECOMPUTED_FLIPS = 500, 1_000


def interval(
    metric: Metric, rows: np.ndarray, units: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The metric with its percentile bootstrap interval over units.

    Args:
        rows: (…, example, k), NaN where an example does not have the metric.
        units: (example,).

    Returns:
        Value, lower and upper end, each (…).
    """
    known = ~np.isnan(rows).any(-1).reshape(-1, rows.shape[-2]).any(0)
    shape = rows.shape[:-2]
    side = _Side(metric, rows.reshape(-1, 1, *rows.shape[-2:])[:, :, known], units[known])
    low, high = bootstrap_of(side.resampled, side.count, seed=seed, draws=_draws(metric))
    return side.value.reshape(shape), low.reshape(shape), high.reshape(shape)


def differences(
    metric: Metric, base: np.ndarray, ablated: np.ndarray, units: np.ndarray, seed: int
) -> pd.DataFrame:
    """One row a part: base, ablated, delta with its interval, and p adjusted over the parts.

    Differences are paired by example. Intervals: percentile bootstrap over units, of the metric
    itself. p-values: two-sided; base and ablated are exchanged within random units, with max-T
    over the parts; of a mean that is the sign-flip of its differences. Metrics that are no
    function of sums (Spearman's, a user's) are computed anew in 500 draws and 1,000 exchanges.

    Args:
        base: (example, k), NaN where an example does not have the metric.
        ablated: (part, draw, example, k); the metric is the mean over draws, or is made of the
            mean statistics.
        units: (example,).
    """
    known = ~np.isnan(base).any(-1)
    before = _Side(metric, base[None, None, known], units[known])
    after = _Side(metric, ablated[:, :, known], units[known])
    few = bool(is_descriptive(int(known.sum()), before.count))
    if metric.is_mean:
        delta, low, high, p = _of_means(before, after, seed, few=few)
    else:
        delta, low, high, p = _of_others(before, after, seed, few=few)
    return pd.DataFrame({
        "base": before.value[0],
        "ablated": after.value,
        "delta": delta,
        "ci_low": low,
        "ci_high": high,
        "p_adjusted": p,
        "n": int(known.sum()),
        "descriptive": few,
    })  # fmt: skip


class _Side:
    """Parts with the statistics of their examples, (part, draw, example, k)."""

    def __init__(self, metric: Metric, rows: np.ndarray, units: np.ndarray) -> None:
        self.metric = metric
        # Of sums, the mean over draws is taken once and for all.
        self.rows = rows.mean(1, keepdims=True) if metric.of_sums else rows.astype(float)
        self.place = np.unique(units, return_inverse=True)[1]
        self.count = int(self.place.max()) + 1
        self.value = metric.of(self.rows).mean(-1)
        self.sums = np.empty(0)
        if metric.of_sums:
            self.sums = sums_of_units(np.moveaxis(self.rows[:, 0], 1, 0), self.place)[0]

    def resampled(self, weights: np.ndarray) -> np.ndarray:
        """(draw, part), of how often each draw contains each unit."""
        if self.metric.of_sums:
            return self._of_sums(np.tensordot(weights, self.sums, axes=1))
        found = []
        for draw in weights:
            chosen = np.repeat(np.arange(len(self.place)), draw[self.place].astype(int))
            found.append(self.metric.of(self.rows[:, :, chosen]).mean(-1))
        return np.stack(found)

    def exchanged(self, flips: np.ndarray, other: "_Side") -> np.ndarray:
        """(flip, part), where True (flip, unit) says that the unit is taken from the other."""
        if self.metric.of_sums:
            moved = np.tensordot(flips.astype(float), other.sums - self.sums, axes=1)
            return self._of_sums(self.sums.sum(0) + moved)
        taken = (np.where(flip[self.place][:, None], other.rows, self.rows) for flip in flips)
        return np.stack([self.metric.of(rows).mean(-1) for rows in taken])

    def _of_sums(self, sums: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.metric.value(sums)


_Effects = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _of_means(before: _Side, after: _Side, seed: int, *, few: bool) -> _Effects:
    """Both sides count alike, so the difference is the mean of the differences."""
    delta, counts = after.sums[..., 0] - before.sums[..., 0], before.sums[:, 0, 1]
    rows = after.rows[:, 0, :, 0] - before.rows[:, 0, :, 0]
    negligible = _ROUNDING * np.maximum(1, np.abs(before.rows[:, 0, :, 0]))
    clear, _ = sums_of_units(np.where(np.abs(rows) > negligible, rows, 0.0).T, before.place)
    p = np.full(delta.shape[1], np.nan) if few else max_t(clear, seed=seed)
    return *bootstrap_ratio(delta, np.broadcast_to(counts[:, None], delta.shape), seed=seed), p


def _of_others(before: _Side, after: _Side, seed: int, *, few: bool) -> _Effects:
    metric = before.metric
    negligible = _ROUNDING * np.maximum(1, np.abs(before.value))

    def settled(difference: np.ndarray) -> np.ndarray:
        return np.where(np.abs(difference) <= negligible, 0.0, difference)

    def resampled(weights: np.ndarray) -> np.ndarray:
        return settled(after.resampled(weights) - before.resampled(weights))

    def exchanged(flips: np.ndarray) -> np.ndarray:
        return settled(after.exchanged(flips, before) - before.exchanged(flips, after))

    low, high = bootstrap_of(resampled, before.count, seed=seed, draws=_draws(metric))
    p = np.full(len(after.value), np.nan)
    if not few:
        flips = {} if metric.of_sums else {"flips": RECOMPUTED_FLIPS}
        p = exchange_max_t(exchanged, before.count, seed=seed, **flips)
    return after.value - before.value, low, high, p


def _draws(metric: Metric) -> int:
    return DRAWS if metric.of_sums else RECOMPUTED_DRAWS
