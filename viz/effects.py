"""What is lost when a part of the model is removed: heads, halves of layers, parts by behaviour."""

from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ..errors import FigureError
from .checks import check_one_row_each, layer_by_head, plain, rows_where, significant, table_of
from .dodged import draw_dodged
from .grids import (
    around_zero,
    colour_bar,
    draw_cells,
    grid_height,
    name_axes,
    sign_cells,
)
from .numbered import name_cells, named_height
from .style import DIVERGING, axes_for, figure_width, text_height

_SIGNS = "+ −: adjusted p ≤ .05"
_DESCRIPTIVE = "+ −: over half the largest (no p: too little data)"
#: Kinds of row that are parts of a layer, and their names.
_OF_LAYERS = {"attention": "attention", "mlp": "MLP", "layer": "whole layer"}


def effect_map(
    ablation: Any, *, mode: str = "zero", metric: str = "target", ax: Axes | None = None
) -> Axes:
    """What removing each head does: ablated minus base; layers down, heads across.

    A sign marks the heads whose adjusted p is at most .05: + where the metric rises, − where it
    falls (so that the direction survives grey print). Where there is too little data for any p,
    signs mark the changes over half the largest, and the title says so.

    Args:
        ablation: result with columns layer, head, mode, metric, delta, p_adjusted; where it has
            `kind`, the rows of single heads are drawn.

    Raises:
        FigureError: a missing column, a mode or metric that the table does not have, no single
            head, or two rows for a head.
    """
    table = table_of(ablation, ["layer", "head", "mode", "metric", "delta", "p_adjusted"])
    rows = _of_one(table, mode, metric)
    if "kind" in rows:
        # Rows of whole layers, which have no head, made these columns floats.
        rows = rows_where(rows, "kind", "head").astype({"layer": int, "head": int})
    grid, p = layer_by_head(rows, "delta"), layer_by_head(rows, "p_adjusted")
    height = grid_height(*grid.shape, figure_width(ax), beside=1.0) + 3 * text_height()
    ax = axes_for(ax, height)
    mesh = draw_cells(ax, grid, DIVERGING, around_zero(grid))
    title = f"change of {plain(metric)} ({plain(mode)} ablation)"
    ax.set_title(f"{title}\n{_mark(ax, grid, p)}")
    colour_bar(ax, mesh, "")
    return name_axes(ax, "head", "layer")


def layer_effects(
    ablation: Any, *, mode: str = "zero", metric: str = "target", ax: Axes | None = None
) -> Axes:
    """What removing the attention, the MLP, or all of each layer does, with 95 % intervals.

    Filled where the adjusted p is at most .05.

    Args:
        ablation: result with columns layer, mode, metric, delta, ci_low, ci_high, p_adjusted,
            kind.

    Raises:
        FigureError: a missing column, a mode or metric that the table does not have, or no row
            of a layer.
    """
    columns = ["layer", "mode", "metric", "delta", "ci_low", "ci_high", "p_adjusted", "kind"]
    rows = _of_one(table_of(ablation, columns), mode, metric)
    if not rows["kind"].isin(_OF_LAYERS).any():
        raise FigureError(
            f"No row is of a layer's part: expected kind {', '.join(_OF_LAYERS)}, "
            f"found {sorted(rows['kind'].unique())}. Single heads are for `effect_map`."
        )
    check_one_row_each(rows[rows["kind"].isin(_OF_LAYERS)], ["kind", "layer"])
    rows = rows.assign(
        x=rows["layer"], low=rows["ci_low"], high=rows["ci_high"], value=rows["delta"],
        filled=significant(rows["p_adjusted"]),
    )  # fmt: skip
    members = {name: rows[rows["kind"] == kind] for kind, name in _OF_LAYERS.items()}
    ax = axes_for(ax, min(figure_width(ax) * 0.62, 3.5))
    ax.axhline(0, color="0.7", linewidth=0.6, zorder=0)
    draw_dodged(ax, {name: own for name, own in members.items() if len(own)}, "filled: p ≤ .05")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return name_axes(ax, "layer", f"change of {plain(metric)} ({plain(mode)})")


def specificity_map(
    specificity: Any, *, metric: str | None = None, most: int = 48, ax: Axes | None = None
) -> Axes:
    """What removing each part does to each behaviour: parts down, behaviours across.

    A sign marks the cells whose adjusted p is at most .05, as in `effect_map`.

    Args:
        specificity: result with columns part, behaviour, metric, delta, p_adjusted.
        metric: needed only where a behaviour has several.
        most: how many parts to show, those with the largest change of any behaviour, in the order
            of the table.

    Raises:
        FigureError: a missing column, an unknown metric, or several for a behaviour.
    """
    rows = table_of(specificity, ["part", "behaviour", "metric", "delta", "p_adjusted"])
    if metric is not None:
        rows = rows_where(rows, "metric", metric)
    elif rows.groupby("behaviour")["metric"].nunique().max() > 1:
        metrics = sorted(rows["metric"].unique())
        raise FigureError(f"There are several metrics, {metrics}: say which with `metric=`.")
    check_one_row_each(rows, ["part", "behaviour"])
    parts, behaviours = (list(dict.fromkeys(rows[name])) for name in ("part", "behaviour"))
    grid, p = (
        rows.pivot(index="part", columns="behaviour", values=name).loc[parts, behaviours]
        for name in ("delta", "p_adjusted")
    )
    kept = grid.index.isin(grid.abs().max(axis=1).nlargest(most).index)
    grid, p = grid[kept], p[kept]
    names = _wrapped([plain(name) for name in behaviours], figure_width(ax))
    ax = axes_for(ax, named_height(len(grid), "\n".join(names).split("\n"), lines=2.5))
    mesh = draw_cells(ax, grid, DIVERGING, around_zero(grid))
    shown = rows["metric"].unique()
    colour_bar(ax, mesh, f"change of {plain(shown[0]) if len(shown) == 1 else 'the score'}")
    name_cells(ax, [str(part) for part in grid.index], names)
    title = _mark(ax, grid, p)
    if len(grid) < len(parts):
        title = f"{len(grid)} of {len(parts)} parts, the largest changes\n{title}"
    ax.set_title(title)
    return ax


def _mark(ax: Axes, grid: pd.DataFrame, p: pd.DataFrame) -> str:
    """Write the signs; returns what they mean."""
    if p.notna().to_numpy().any():
        sign_cells(ax, grid, significant(p).to_numpy())
        return _SIGNS
    size = grid.abs().to_numpy(dtype=float)
    sign_cells(ax, grid, size > np.nanmax(size) / 2)
    return _DESCRIPTIVE


def _wrapped(names: list[str], width: float) -> list[str]:
    """Names that stand upright below columns, in as many lines as a column is wide."""
    lines = max(1, int((width - 1.6) / len(names) / text_height()))
    longest = max(len(name) for name in names)
    return [fill(name, max(16, longest // lines + 6)) for name in names]


def _of_one(table: pd.DataFrame, mode: str, metric: str) -> pd.DataFrame:
    return rows_where(rows_where(table, "mode", mode), "metric", metric)
