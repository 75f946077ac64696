"""Heat maps over layers: of heads, and of relations."""

import math
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Colormap, Normalize, TwoSlopeNorm

from .checks import check_one_row_each, layer_by_head, rows_where, table_of
from .style import (
    DIVERGING,
    MISSING,
    PALETTE,
    SEQUENTIAL,
    axes_for,
    axes_inches,
    figure_of,
    figure_width,
    text_height,
)

_UNITS = {"entropy": "nats", "entropy_normalised": "of ln keys", "distance": "tokens"}


def statistic_map(heads: Any, *, statistic: str, ax: Axes | None = None) -> Axes:
    """A statistic of every head: layers down, heads across; darker is more.

    The line in the colour bar is the statistic of evenly spread attention.

    Args:
        heads: result with columns layer, head, statistic, mean, baseline.

    Raises:
        FigureError: a missing column, or a statistic that the table does not have.
    """
    table = table_of(heads, ["layer", "head", "statistic", "mean", "baseline"])
    rows = rows_where(table, "statistic", statistic)
    grid = layer_by_head(rows, "mean")
    ax = axes_for(ax, _height(grid, figure_width(ax)))
    low, high = _range(grid)
    # The colours reach the baseline, so that its line is on the bar.
    mesh = draw_cells(ax, grid, SEQUENTIAL, Normalize(low, max(high, rows["baseline"].max())))
    unit = _UNITS.get(statistic, "share of attention")
    name = statistic.replace("_", " ")
    ax.set_title(f"{name} ({unit})")
    bar = colour_bar(ax, mesh, "line: even attention")
    for baseline in rows["baseline"].dropna().unique():
        bar.ax.axhline(baseline, color=PALETTE[5], linewidth=1.5)
    return name_axes(ax, "head", "layer")


def relation_map(relations: Any, *, ax: Axes | None = None) -> Axes:
    """How well the best head of each layer finds each relation, beyond the offset baseline.

    A cell is the largest accuracy over the heads and directions of the layer, minus the
    baseline: choosing the largest flatters it. − marks cells below the baseline.

    Args:
        relations: result with columns relation, direction, layer, head, accuracy,
            baseline_accuracy.

    Raises:
        FigureError: a missing column or an empty table.
    """
    grid, looks = relation_by_layer(relations)
    width = figure_width(ax)
    ax = axes_for(ax, max(1.6, 0.8 + len(grid) * min(text_height() * 1.1, width / 20)))
    mesh = draw_cells(ax, grid, DIVERGING, around_zero(grid))
    sign_cells(ax, grid, grid.to_numpy() < 0)
    colour_bar(ax, mesh, "accuracy − offset baseline (−: below)")
    ax.set_title(f"each cell: the best of {looks},\nchosen on the same data")
    ax.set_yticks(np.arange(len(grid)), [str(name) for name in grid.index])
    return name_axes(ax, "layer", "")


def relation_by_layer(relations: Any) -> tuple[pd.DataFrame, str]:
    """Best accuracy minus baseline, index relation (best first), columns layer; what was tried."""
    keys = ["relation", "direction", "layer", "head"]
    table = table_of(relations, [*keys, "accuracy", "baseline_accuracy"])
    check_one_row_each(table, keys)
    gain = table.assign(gain=table["accuracy"] - table["baseline_accuracy"])
    grid = gain.pivot_table(index="relation", columns="layer", values="gain", aggfunc="max")
    order = grid.max(axis=1).sort_values(ascending=False, kind="stable").index
    heads, directions = table["head"].nunique(), table["direction"].nunique()
    looks = f"{heads} head{'s' * (heads > 1)} × {directions} direction{'s' * (directions > 1)}"
    return grid.loc[order], looks


def draw_cells(ax: Axes, grid: pd.DataFrame, colours: str | Colormap, norm: Normalize) -> QuadMesh:
    """Cells centred on whole numbers, the first row on top; drawn as shapes, so they stay sharp."""
    rows, columns = grid.shape
    ax.set_facecolor(MISSING)
    mesh = ax.pcolormesh(
        np.arange(columns + 1) - 0.5,
        np.arange(rows + 1) - 0.5,
        np.ma.masked_invalid(grid.to_numpy(dtype=float)),
        cmap=colours,
        norm=norm,
        edgecolors="white",
        linewidth=0.3,
    )
    ax.set_ylim(rows - 0.5, -0.5)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    label_ticks(ax, grid)
    return mesh


def label_ticks(ax: Axes, grid: pd.DataFrame) -> None:
    """Number rows and columns as the table does, leaving out what would not fit."""
    for axis, labels in ((ax.xaxis, grid.columns), (ax.yaxis, grid.index)):
        step = math.ceil(len(labels) / 16)
        axis.set_ticks(np.arange(0, len(labels), step), [str(label) for label in labels[::step]])


def grid_height(
    rows: int, columns: int, width: float, beside: float, cell: float = math.inf
) -> float:
    """Height in inches at which the cells of a grid come out about square.

    Args:
        width: of the whole figure, of which `beside` inches are not grid.
        cell: largest height of a cell in inches.
    """
    return max(1.5, 0.5 + rows * min(cell, (width - beside) / max(columns, 6)))


def _height(grid: pd.DataFrame, width: float) -> float:
    return grid_height(*grid.shape, width, beside=1.0) + 2 * text_height()


def _range(grid: pd.DataFrame) -> tuple[float, float]:
    """From 0, or from the smallest value where that is negative."""
    low, high = float(np.nanmin(grid)), float(np.nanmax(grid))
    return min(0.0, low), high if high > 0 else 1.0


def around_zero(grid: pd.DataFrame) -> TwoSlopeNorm:
    """Colours as far below zero as above it."""
    largest = float(np.nanmax(np.abs(grid.to_numpy(dtype=float)))) or 1.0
    return TwoSlopeNorm(0.0, -largest, largest)


def sign_cells(ax: Axes, grid: pd.DataFrame, marked: np.ndarray) -> None:
    """Write the sign of some cells into them."""
    values = grid.to_numpy(dtype=float)
    largest = np.nanmax(np.abs(values))
    width, height = axes_inches(ax)
    cell = 72 * min(height / values.shape[0], width / values.shape[1])
    for row, column in np.argwhere(marked):
        value = values[row, column]
        ax.text(
            column,
            row,
            "+" if value > 0 else "−",
            ha="center",
            va="center_baseline",
            fontsize=min(mpl.rcParams["font.size"], cell),
            color="white" if abs(value) > 0.6 * largest else "black",
        )


def colour_bar(ax: Axes, mesh: QuadMesh, label: str) -> Any:
    """A bar beside the grid."""
    bar = figure_of(ax).colorbar(mesh, ax=ax, label=label, fraction=0.05, pad=0.02)
    bar.outline.set_visible(False)
    return bar


def name_axes(ax: Axes, x: str, y: str) -> Axes:
    """Label both axes; returns them."""
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    return ax
