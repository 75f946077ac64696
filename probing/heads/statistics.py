"""The table of head statistics (Clark et al. 2019, section 3)."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from ...stats import bootstrap_ratio, is_descriptive
from .rows import OTHER, STATISTICS


def statistics_table(
    layers: Iterable[tuple[np.ndarray, np.ndarray]],
    counts: np.ndarray,
    present: Sequence[str],
    *,
    seed: int,
) -> pd.DataFrame:
    """The table `heads.csv`: means over sentences with intervals and baselines.

    `difference` is mean − baseline, with its own paired interval.

    Args:
        layers: per layer, sums over the sentences of each unit: of the statistics
            (unit, head, statistic), and of their baselines (unit, statistic).
        counts: (unit,), sentences in each unit.
        present: the statistics that have a row (a tokenizer without [CLS] has no `cls`).
    """
    # A layer at a time: with sentences as units, all of them at once would not be small.
    parts = [
        _layer(layer, values, baselines, counts.astype(float), present, seed)
        for layer, (values, baselines) in enumerate(layers)
    ]
    return pd.concat(parts, ignore_index=True)


def _layer(
    layer: int,
    values: np.ndarray,
    baselines: np.ndarray,
    counts: np.ndarray,
    present: Sequence[str],
    seed: int,
) -> pd.DataFrame:
    chosen = [(*STATISTICS, OTHER).index(name) for name in present]
    columns = mean_columns(values[..., chosen], baselines[:, None, chosen], counts, seed=seed)
    index = pd.MultiIndex.from_product(
        [[layer], range(values.shape[1]), present], names=["layer", "head", "statistic"]
    )
    return pd.DataFrame(columns, index=index).reset_index()


def mean_columns(
    values: np.ndarray, baselines: np.ndarray, counts: np.ndarray, *, seed: int
) -> dict[str, object]:
    """Means over sentences with intervals and baselines: columns with a row for each cell.

    Args:
        values: (unit, …), sums over the sentences of each unit; overwritten.
        baselines: of a shape that broadcasts to that of `values`.
        counts: (unit,), sentences in each unit; units without any do not count.
    """
    mean, low, high = bootstrap_ratio(values, counts, seed=seed)
    # In place: with sentences as units this is the largest array.
    values -= baselines
    gap, gap_low, gap_high = bootstrap_ratio(values, counts, seed=seed)
    sentences = int(counts.sum())
    return {
        "mean": mean.ravel(),
        "ci_low": low.ravel(),
        "ci_high": high.ravel(),
        "n": sentences,
        "baseline": (mean - gap).ravel(),
        "difference": gap.ravel(),
        "difference_low": gap_low.ravel(),
        "difference_high": gap_high.ravel(),
        "descriptive": bool(is_descriptive(sentences, int((counts > 0).sum()))),
    }
