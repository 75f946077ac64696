"""From per-example scores to the table of effects."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..stats import bootstrap_ratio, is_descriptive, max_t
from .setting import sums_of_units

METRICS = ("target", "accuracy")
COLUMNS = (
    "layer", "head", "mode", "metric", "base", "ablated", "delta", "ci_low", "ci_high",
    "p_adjusted", "n", "descriptive",
)  # fmt: skip
#: Differences this small, relative to the score, are rounding. The test statistic has no scale,
#: so it would take rounding that always goes one way for an effect.
_ROUNDING = 1e-6


def effect_table(
    base: np.ndarray,
    ablated: np.ndarray,
    modes: Sequence[str],
    units: np.ndarray,
    seed: int,
) -> pd.DataFrame:
    """One row per mode, metric, layer and head; a metric that is NaN everywhere has no rows.

    Differences are paired by example. Intervals: percentile bootstrap over units. p-values:
    two-sided sign-flips of units with max-T over the heads of one mode and metric.

    Args:
        base: (metric, example), NaN where an example does not have the metric.
        ablated: (metric, mode, layer, head, example).
        units: (example,).
    """
    parts = []
    for mode_index, mode in enumerate(modes):
        for metric, before, after in zip(METRICS, base, ablated[:, mode_index], strict=True):
            known = ~np.isnan(before)
            if known.any():
                part = _family(before[known], after[..., known], units[known], seed)
                parts.append(part.assign(mode=mode, metric=metric))
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]


def _family(base: np.ndarray, ablated: np.ndarray, units: np.ndarray, seed: int) -> pd.DataFrame:
    """All heads of one mode and metric; base (example,), ablated (layer, head, example)."""
    delta = np.moveaxis(ablated.astype(float) - base, -1, 0)
    negligible = _ROUNDING * np.maximum(1, np.abs(base))[:, None, None]
    sums, counts = sums_of_units(np.where(np.abs(delta) > negligible, delta, 0.0), units)
    few = bool(is_descriptive(len(base), len(counts)))
    p = np.full(delta.shape[1:], np.nan) if few else max_t(sums, seed=seed)
    estimate, low, high = bootstrap_ratio(*sums_of_units(delta, units), seed=seed)
    layers, heads = np.indices(estimate.shape)
    return pd.DataFrame({
        "layer": layers.ravel(),
        "head": heads.ravel(),
        "base": base.mean(dtype=float),
        "ablated": ablated.mean(-1, dtype=float).ravel(),
        "delta": estimate.ravel(),
        "ci_low": low.ravel(),
        "ci_high": high.ravel(),
        "p_adjusted": p.ravel(),
        "n": len(base),
        "descriptive": few,
    })  # fmt: skip
