"""The accuracy of heads on a group of rows, such as the dependents of a relation."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ...stats import bootstrap_ratio, is_descriptive, wilson
from .hits import Hits, hits_by_unit


def accuracy_interval(
    sums: np.ndarray, counts: np.ndarray, *, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
    """Pooled accuracy with its interval, over units where there is enough data, else Wilson's.

    Args:
        sums: (unit, …), hits in each unit.
        counts: (unit,), rows in each unit.

    Returns:
        Accuracy, low, high, each (…), and whether they are only descriptive.
    """
    total, hits = int(counts.sum()), sums.sum(0)
    descriptive = bool(is_descriptive(total, int((counts > 0).sum())))
    if descriptive:
        low, high = wilson(hits, np.full(hits.shape, total))
        return hits / total, low, high, True
    accuracy, low, high = bootstrap_ratio(sums, counts.astype(float), seed=seed)
    return accuracy, low, high, False


def head_accuracies(
    correct: Hits | np.ndarray,
    rows: np.ndarray,
    units: np.ndarray,
    directions: Sequence[str],
    *,
    seed: int,
) -> pd.DataFrame:
    """`direction, layer, head, accuracy, ci_low, ci_high, n, descriptive` of every head.

    Args:
        correct: (row, layer, head, direction).
        rows: the rows of the group.
        units: (row,), of all rows.
        directions: their names.
    """
    count = int(units.max()) + 1
    accuracy, low, high, descriptive = accuracy_interval(
        hits_by_unit(correct, rows, units, count),
        np.bincount(units[rows], minlength=count),
        seed=seed,
    )
    layers, heads, _ = accuracy.shape
    index = pd.MultiIndex.from_product(
        [directions, range(layers), range(heads)], names=["direction", "layer", "head"]
    )
    columns = {
        "accuracy": np.moveaxis(accuracy, 2, 0).ravel(),
        "ci_low": np.moveaxis(low, 2, 0).ravel(),
        "ci_high": np.moveaxis(high, 2, 0).ravel(),
        "n": len(rows),
        "descriptive": descriptive,
    }
    return pd.DataFrame(columns, index=index).reset_index()
