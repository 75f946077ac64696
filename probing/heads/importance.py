"""The table of how much a loss depends on attention (Clark et al. 2019, section 3.2)."""

from typing import Any

import numpy as np
import pandas as pd

from ...capture.shards import read_pass
from ...stats import bootstrap_ratio, is_descriptive
from .gradients import KEYS, LOSSES, VARIANTS
from .queries import QUERIES
from .scan import HeadScan


def gradient_table(scan: HeadScan, *, seed: int = 0) -> pd.DataFrame:
    """Mean |∂L/∂α| over texts, with an interval over units.

    Columns: layer, head, variant, query, key, mean, ci_low, ci_high, n (texts that have such
    weights), descriptive, loss. What no text has is no row.

    Raises:
        CaptureError: the pass did not keep gradients.
    """
    scan.require("gradients")
    layers = scan.baselines.shape[1]
    table = pd.concat([_layer(scan, layer, seed) for layer in range(layers)], ignore_index=True)
    task = read_pass(scan.shards.folder)["model"]["task"]
    return table.assign(loss=LOSSES[task].name)


def _layer(scan: HeadScan, layer: int, seed: int) -> pd.DataFrame:
    sums, counts = _unit_sums(scan, layer)  # (unit, head, variant, query, key)
    index = pd.MultiIndex.from_product(
        [[layer], range(sums.shape[1]), VARIANTS, QUERIES, KEYS],
        names=["layer", "head", "variant", "query", "key"],
    )
    sums, counts = sums.reshape(len(sums), -1), counts.reshape(len(counts), -1)
    there = np.flatnonzero(counts.any(0))
    sums, counts = sums[:, there], counts[:, there]
    mean, low, high = bootstrap_ratio(sums, counts, seed=seed)
    n = counts.sum(0).astype(int)
    columns: dict[str, Any] = {"mean": mean, "ci_low": low, "ci_high": high, "n": n}
    columns["descriptive"] = is_descriptive(n, (counts > 0).sum(0))
    return pd.DataFrame(columns, index=index[there]).reset_index()


def _unit_sums(scan: HeadScan, layer: int) -> tuple[np.ndarray, np.ndarray]:
    """Over the texts of each unit: sums of their means, and how many there are."""
    sums, counts = np.zeros(0), np.zeros(0)
    for members, tensor in scan.shards.tensors("gradients"):
        rows = tensor[:, :, layer].movedim(2, 1).numpy()
        if not len(sums):
            sums = np.zeros((int(scan.units.max()) + 1, *rows.shape[1:]))
            counts = np.zeros_like(sums)
        there = ~np.isnan(rows)
        np.add.at(sums, scan.units[members], np.where(there, rows, 0.0))
        np.add.at(counts, scan.units[members], there)
    return sums, counts
