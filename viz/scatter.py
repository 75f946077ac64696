"""Gradient importance of heads against what happens when they are removed."""

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from .checks import check_one_row_each, head_name, table_of
from .style import PALETTE, axes_for, figure_of, figure_width

_LABELLED = 6
_KINDS = {"falls": ("v", PALETTE[0]), "rises": ("^", PALETTE[5])}


def effect_against_importance(summary: Any, *, ax: Axes | None = None) -> Axes:
    """One point a head: importance from gradients (x), size of the change when zeroed (y).

    Downward triangles: the target falls without the head; upward: it rises. Filled where the
    p of the change is below .05. The heads with the largest changes
    are named where there is room.

    Args:
        summary: result with columns layer, head, importance, zero_delta, zero_ci_low,
            zero_ci_high, zero_p.

    Raises:
        FigureError: a missing column, or two rows for a head.
    """
    rows = effect_rows(summary)
    ax = axes_for(ax, min(figure_width(ax) * 0.8, 4.0))
    ax.errorbar(
        rows["importance"],
        rows["size"],
        yerr=rows[["below", "above"]].to_numpy().T,
        linestyle="none",
        color="0.75",
        elinewidth=0.6,
        marker="",
        zorder=1,
    )
    for way, (marker, colour) in _KINDS.items():
        members = rows[rows["way"] == way]
        if len(members):
            fill = np.where(members["significant"], colour, "white").tolist()
            ax.scatter(
                members["importance"],
                members["size"],
                s=14,
                marker=marker,
                color=fill,
                edgecolors=colour,
                linewidths=0.7,
                label=f"target {way}",
                zorder=2,
            )
    ax.set_xlabel("importance (gradient of the head's gate)")
    ax.set_ylabel("|change of the target| when zeroed")
    ax.legend(title="filled: p < .05", loc="best", borderpad=0.2, alignment="left")
    _name_largest(ax, rows)
    return ax


def effect_rows(summary: Any) -> pd.DataFrame:
    """One row a head, largest change first: importance, size, below, above, way, significant.

    `below` and `above` are the lengths of the interval's arms around the size: the interval of
    the change, turned over where the change is negative.
    """
    columns = ["layer", "head", "importance", "zero_delta", "zero_ci_low", "zero_ci_high"]
    table = table_of(summary, [*columns, "zero_p"])
    check_one_row_each(table, ["layer", "head"])
    falls = table["zero_delta"] < 0
    down = (table["zero_delta"] - table["zero_ci_low"]).clip(lower=0)
    up = (table["zero_ci_high"] - table["zero_delta"]).clip(lower=0)
    return pd.DataFrame(
        {
            "layer": table["layer"],
            "head": table["head"],
            "importance": table["importance"],
            "size": table["zero_delta"].abs(),
            "below": np.where(falls, up, down),
            "above": np.where(falls, down, up),
            "way": np.where(falls, "falls", "rises"),
            "significant": table["zero_p"] < 0.05,
        }
    ).sort_values("size", ascending=False, kind="stable")


def _name_largest(ax: Axes, rows: pd.DataFrame) -> None:
    """Name heads beside their points: right, left, above or below, wherever it is free."""
    size = mpl.rcParams["font.size"]
    points = ax.transData.transform(rows[["importance", "size"]]) * 72 / figure_of(ax).dpi
    taken: list[tuple[float, float, float, float]] = [
        (x - 2, y - 2, x + 2, y + 2) for x, y in points
    ]
    left, right = (edge * 72 / figure_of(ax).dpi for edge in (ax.bbox.x0, ax.bbox.x1))
    largest = rows.head(_LABELLED)
    names = [head_name(*head) for head in zip(largest["layer"], largest["head"], strict=True)]
    for name, (x, y), place in zip(
        names, points, largest[["importance", "size"]].to_numpy(), strict=False
    ):
        wide, high = 0.62 * size * len(name), size
        for dx, dy in ((4, 0), (-4 - wide, 0), (-wide / 2, 0.9 * high), (-wide / 2, -0.9 * high)):
            box = (x + dx, y + dy - high / 2, x + dx + wide, y + dy + high / 2)
            if left <= box[0] and box[2] <= right and not any(_overlap(box, t) for t in taken):
                break
        else:
            continue  # no room: a name on top of others could not be read
        taken.append(box)
        ax.annotate(
            name,
            tuple(place),
            xytext=(dx, dy),
            textcoords="offset points",
            va="center_baseline",
            path_effects=[withStroke(linewidth=1.5, foreground="white")],
            zorder=3,
        )


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
