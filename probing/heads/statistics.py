"""The table of head statistics (Clark et al. 2019, section 3)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ...stats import bootstrap_ratio, is_descriptive
from .rows import OTHER, STATISTICS


def statistics_table(
    values: np.ndarray,
    baselines: np.ndarray,
    units: np.ndarray,
    present: Sequence[str],
    *,
    seed: int,
) -> pd.DataFrame:
    """The table `heads.csv`: means over sentences with intervals and baselines.

    `difference` is mean − baseline, with its own paired interval.

    Args:
        values: (sentence, layer, head, statistic).
        baselines: (sentence, layer, statistic), the same for evenly spread attention.
        units: (sentence,), the unit that each sentence belongs to.
        present: the statistics that have a row (a tokenizer without [CLS] has no `cls`).
    """
    chosen = [(*STATISTICS, OTHER).index(name) for name in present]
    values, baselines = values[..., chosen], baselines[..., None, :][..., chosen]
    baselines = np.broadcast_to(baselines, values.shape)
    count = np.bincount(units).astype(float)
    mean, low, high = bootstrap_ratio(_by_unit(values, units), count, seed=seed)
    gap, gap_low, gap_high = bootstrap_ratio(_by_unit(values - baselines, units), count, seed=seed)
    layers, heads, _ = mean.shape
    index = pd.MultiIndex.from_product(
        [range(layers), range(heads), present], names=["layer", "head", "statistic"]
    )
    table = pd.DataFrame(
        {
            "mean": mean.ravel(),
            "ci_low": low.ravel(),
            "ci_high": high.ravel(),
            "n": len(values),
            "baseline": (mean - gap).ravel(),
            "difference": gap.ravel(),
            "difference_low": gap_low.ravel(),
            "difference_high": gap_high.ravel(),
            "descriptive": bool(is_descriptive(len(values), len(count))),
        },
        index=index,
    )
    return table.reset_index()


def _by_unit(values: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Sums over the sentences of each unit: (unit, …)."""
    sums = np.zeros((units.max() + 1, *values.shape[1:]))
    np.add.at(sums, units, values)
    return sums
