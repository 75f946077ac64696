"""The atlas: what each head looks at, how much it matters, which heads follow a relation."""

import math
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.markers import MarkerStyle
from matplotlib.transforms import ScaledTranslation

from ..errors import FigureError
from .checks import layer_by_head, table_of
from .grids import grid_height, label_ticks
from .style import axes_for, axes_inches, figure_of, figure_width, text_height

# Category: marker, colour, name in the legend. Black is kept for the outline.
CATEGORIES = {
    "previous": ("<", "#0072B2", "previous token"),
    "self": ("o", "#009E73", "itself"),
    "next": (">", "#56B4E9", "next token"),
    "first": ("^", "#CC79A7", "first token"),
    "cls": ("s", "#D55E00", "[CLS]"),
    "sep": ("D", "#E69F00", "[SEP]"),
    "punctuation": ("P", "#CFBE00", "punctuation"),
    "other": ("v", "#0B3C5D", "other words"),
    "broad": ("h", "#888888", "everywhere"),
}
# Below this part of the largest area a marker would be too small to tell its kind.
_SMALLEST = 0.06
# Inches a head needs across for the name of its relation to fit below its marker.
_LABELLED_CELL = 0.4
_COLUMNS = ["layer", "head", "looks_at", "relation", "zero_delta"]


def head_atlas(summary: Any, *, ax: Axes | None = None) -> Axes:
    """Every head of a model in one picture: layers down, heads across.

    Marker and colour: what the head looks at. Area: size of the change when the head is set to
    zero (changes below 6 % of the largest are drawn at 6 %). Black outline: the head finds a
    dependency relation on held-out sentences; the first is named where there is room.

    Args:
        summary: result with columns layer, head, looks_at, relation, zero_delta.

    Raises:
        FigureError: a missing column, two rows for a head, or an unknown category.
    """
    table = table_of(summary, _COLUMNS)
    grid = layer_by_head(table, "zero_delta")
    rows, columns = grid.shape
    width = figure_width(ax)
    height = grid_height(rows, columns, width, beside=0.5, cell=0.3)
    ax = axes_for(ax, height + 8 * text_height())  # the legends take about eight lines
    largest = _largest_area(ax, rows, columns)
    markers = atlas_markers(table, largest)
    for category, group in markers.groupby("looks_at", sort=False):
        marker, colour, name = CATEGORIES[str(category)]
        ax.scatter(
            grid.columns.get_indexer(pd.Index(group["head"])),
            grid.index.get_indexer(pd.Index(group["layer"])),
            s=group["area"] * _marker_scale(marker),
            marker=marker,
            color=colour,
            edgecolors=["black" if outlined else "none" for outlined in group["outlined"]],
            linewidths=0.7,
            label=name,
        )
    _frame(ax, rows, columns)
    label_ticks(ax, grid)
    if width / columns > _LABELLED_CELL:
        _name_relations(ax, markers, grid)
    _add_legends(ax, markers, largest)
    return ax


def atlas_markers(table: pd.DataFrame, largest: float) -> pd.DataFrame:
    """What to draw for each head: layer, head, looks_at, effect, area (points²), outlined,
    relation.

    Raises:
        FigureError: a category that is not one of `CATEGORIES`.
    """
    if unknown := sorted(set(table["looks_at"]) - set(CATEGORIES), key=str):
        raise FigureError(f"Unknown looks_at {unknown}; expected one of {list(CATEGORIES)}.")
    effect = table["zero_delta"].abs()
    top = effect.max()
    share = effect / top if top > 0 else effect * 0
    relation = table["relation"]
    order = {category: place for place, category in enumerate(CATEGORIES)}
    return pd.DataFrame(
        {
            "layer": table["layer"],
            "head": table["head"],
            "looks_at": table["looks_at"],
            "effect": effect,
            "area": largest * share.fillna(0.0).clip(lower=_SMALLEST),
            "outlined": relation.notna() & (relation.astype(str) != ""),
            "relation": relation.fillna("").astype(str),
        }
    ).sort_values("looks_at", key=lambda names: names.map(order), kind="stable")


def _name_relations(ax: Axes, markers: pd.DataFrame, grid: pd.DataFrame) -> None:
    """The first relation of each outlined head, below its marker."""
    named = markers[markers["outlined"]]
    radii = np.sqrt(named["area"] / np.pi)
    for radius, head in zip(radii, named.itertuples(), strict=True):
        ax.annotate(
            str(head.relation).split(", ")[0],
            (grid.columns.get_loc(head.head), grid.index.get_loc(head.layer)),
            xytext=(0, -radius - 1),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=mpl.rcParams["font.size"] * 0.8,
        )


def _largest_area(ax: Axes, rows: int, columns: int) -> float:
    """Area in points² of the largest marker: most of a cell, as far as the size is known."""
    width, height = axes_inches(ax)
    cell = min(width / max(columns, 6), height / max(rows, 4))
    return min(cell * 72 * 0.85, 20.0) ** 2 * np.pi / 4


def _marker_scale(marker: str) -> float:
    """What to multiply an area by to get matplotlib's `s`, so that all shapes have that area."""
    style = MarkerStyle(marker)
    outline = style.get_path().transformed(style.get_transform()).to_polygons()[0]
    x, y = np.asarray(outline).T
    return 1 / (0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))))


def _frame(ax: Axes, rows: int, columns: int) -> None:
    ax.set_xlim(-0.6, columns - 0.4)
    ax.set_ylim(rows - 0.4, -0.6)
    ax.set_xlabel("head")
    ax.set_ylabel("layer")
    ax.set_axisbelow(True)
    ax.grid(color="0.92", linewidth=0.5)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _add_legends(ax: Axes, markers: pd.DataFrame, largest: float) -> None:
    """Below the axes: the categories there are, then sizes and outline in one line."""
    entry = (mpl.rcParams["font.size"] * 0.75) ** 2
    kinds = [
        _handle(marker, colour, entry * _marker_scale(marker), name)
        for category, (marker, colour, name) in CATEGORIES.items()
        if category in set(markers["looks_at"])
    ]
    ax.add_artist(_legend(ax, kinds, "looks at", lines=2.6, handlelength=1.0))
    rows = math.ceil(len(kinds) / 3)
    top = markers["effect"].max()
    shown = [float(f"{part * top:.1g}") for part in (0.9, 0.25)] if top > 0 else []
    sizes = [
        _handle("o", "0.6", largest * value / top * _marker_scale("o"), f"{value:g}")
        for value in shown
    ]
    outline = _handle("o", "white", entry, "finds a relation", edge="black")
    room = max(1.0, np.sqrt(largest) / mpl.rcParams["font.size"])
    _legend(ax, [*sizes, outline], "change when zeroed", lines=3.8 + 1.15 * rows, handlelength=room)


def _handle(marker: str, colour: str, s: float, label: str, edge: str = "none") -> Line2D:
    return Line2D(
        [],
        [],
        linestyle="none",
        marker=marker,
        markersize=np.sqrt(s),
        markerfacecolor=colour,
        markeredgecolor=edge,
        markeredgewidth=0.7,
        label=label,
    )


def _legend(
    ax: Axes, handles: list[Line2D], title: str, lines: float, handlelength: float
) -> Legend:
    """A legend of three columns, so many lines of text below the axes."""
    down = ScaledTranslation(0, -lines * text_height(), figure_of(ax).dpi_scale_trans)
    return ax.legend(
        handles=handles,
        title=title,
        loc="upper left",
        bbox_to_anchor=(0, 0),
        bbox_transform=ax.transAxes + down,
        ncols=3,
        handlelength=handlelength,
        handleheight=handlelength,
        columnspacing=0.8,
        borderaxespad=0.0,
        borderpad=0.0,
        alignment="left",
    )
