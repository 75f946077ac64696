"""Which head follows which relation, every head at once."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from .checks import check_one_row_each, table_of
from .grids import colour_bar, draw_cells, name_axes, sign_cells
from .style import SEQUENTIAL, axes_for, text_height

_KEYS = ["relation", "direction", "layer", "head"]


def relation_head_map(relations: Any, *, most: int = 20, ax: Axes | None = None) -> Axes:
    """Accuracy beyond the offset baseline: relations down, heads across, layer by layer.

    A cell is the better of the two directions, white where that is not above the baseline. +
    marks the best head of a relation; the best of many is a lucky draw: quote `best_heads.csv`.

    Args:
        relations: table with columns relation, direction, layer, head, accuracy,
            baseline_accuracy, n.
        most: how many relations to show, the most frequent first.

    Raises:
        FigureError: a missing column or an empty table.
    """
    grid, layers = relation_by_head(relations, most)
    height = 0.9 + len(grid) * text_height() * 1.15
    ax = axes_for(ax, max(1.6, height))
    values = grid.to_numpy()
    top = max(0.01, float(np.nanmax(values)))
    mesh = draw_cells(ax, grid, SEQUENTIAL, Normalize(0.0, top))
    best = values == np.nanmax(values, axis=1, keepdims=True)
    sign_cells(ax, grid.clip(lower=0), best & (values > 0))
    starts = np.flatnonzero(np.diff(layers, prepend=-1))
    for start in starts[1:]:
        ax.axvline(start - 0.5, color="black", linewidth=0.6)
    ends = np.append(starts[1:], len(layers))
    ax.set_xticks((starts + ends - 1) / 2, [str(layers[start]) for start in starts])
    ax.set_yticks(np.arange(len(grid)), [str(name) for name in grid.index])
    colour_bar(ax, mesh, "accuracy − offset baseline (white: not above)")
    ax.set_title("+: best head of the relation, chosen on the same data")
    return name_axes(ax, f"heads of layer (first to last: {_heads(grid)})", "")


def relation_by_head(relations: Any, most: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Accuracy minus baseline, index relation, a column a head; and the layer of each column."""
    table = table_of(relations, [*_KEYS, "accuracy", "baseline_accuracy", "n"])
    check_one_row_each(table, _KEYS)
    gain = table.assign(gain=table["accuracy"] - table["baseline_accuracy"])
    grid = gain.pivot_table(
        index="relation", columns=["layer", "head"], values="gain", aggfunc="max"
    )
    counts = table.groupby("relation")["n"].first().sort_values(ascending=False, kind="stable")
    grid = grid.loc[counts.index[:most]]
    return grid, grid.columns.get_level_values("layer").to_numpy()


def _heads(grid: pd.DataFrame) -> str:
    heads = grid.columns.get_level_values("head")
    return f"{heads.min()}–{heads.max()}"
