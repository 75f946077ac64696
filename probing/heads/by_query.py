"""Attention of [CLS] rows, of [SEP] rows and of all others (Clark et al. 2019, section 3)."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from .queries import BY_QUERY, QUERIES
from .scan import HeadScan
from .statistics import mean_columns


def by_query_table(scan: HeadScan, *, seed: int = 0) -> pd.DataFrame:
    """Means over the rows of a kind in a sentence, then over the sentences that have such rows.

    Entropy in nats, without the smoothing of the released code (α ← .9999 α + .0001 / n), which
    changes it by less than .002 nats up to 128 tokens. With intervals over units, and the same
    for attention spread evenly over the visible keys.

    Returns:
        Columns layer, head, query (of `QUERIES`), statistic (of `BY_QUERY`), mean, ci_low,
        ci_high, n (sentences), baseline, difference (mean − baseline), difference_low,
        difference_high, descriptive. What a tokenizer lacks has no row.
    """
    baselines = scan.shards.gather("by_query_baselines")
    # (sentence, kind): where a sentence has no row of a kind, every statistic of it is NaN.
    present = ~np.isnan(baselines[:, 0, :, 0])
    counts = np.zeros((scan.units.max() + 1, len(QUERIES)))
    np.add.at(counts, scan.units, present)
    kinds = [kind for kind in range(len(QUERIES)) if counts[:, kind].any()]
    names = [name for name in BY_QUERY if name not in ("cls", "sep") or name in scan.present]
    columns = [BY_QUERY.index(name) for name in names]
    parts = []
    for layer, (values, even) in enumerate(_unit_sums(scan, np.nan_to_num(baselines))):
        for kind in kinds:
            index = pd.MultiIndex.from_product(
                [[layer], range(values.shape[1]), [QUERIES[kind]], names],
                names=["layer", "head", "query", "statistic"],
            )
            means = mean_columns(
                values[:, :, kind, columns],
                even[:, None, kind, columns],
                counts[:, kind],
                seed=seed,
            )
            parts.append(pd.DataFrame(means, index=index).reset_index())
    table = pd.concat(parts, ignore_index=True)
    return table.sort_values(["layer", "head"], kind="stable", ignore_index=True)


def _unit_sums(scan: HeadScan, baselines: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Layer by layer, sums over the sentences of each unit that have rows of a kind.

    Yields values (unit, head, kind, statistic) and baselines (unit, kind, statistic).
    """
    for layer in range(baselines.shape[1]):
        even = np.zeros((scan.units.max() + 1, *baselines.shape[2:]))
        np.add.at(even, scan.units, baselines[:, layer])
        values: np.ndarray | None = None
        for members, tensor in scan.shards.tensors("by_query"):
            rows = np.nan_to_num(tensor[:, layer].numpy())
            if values is None:
                values = np.zeros((len(even), *rows.shape[1:]))
            np.add.at(values, scan.units[members], rows)
        if values is not None:
            yield values, even
