"""Scatter plots: importance of heads against their removal, attention against its permutation."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from .checks import check_one_row_each, head_name, table_of
from .labels import label_points
from .lines import check_few
from .style import MARKERS, PALETTE, axes_for, figure_width

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
    largest = rows.head(_LABELLED)
    names = [head_name(*head) for head in zip(largest["layer"], largest["head"], strict=True)]
    places = ["importance", "size"]
    label_points(ax, rows[places].to_numpy(), largest[places].to_numpy(), names)
    return ax


def permutation_scatter(permutation: Any, *, ax: Axes | None = None) -> Axes:
    """One point a text: its largest attention weight (x), how far the output moves (y).

    y is the median total variation of the output when attention is permuted. Where attention is
    peaked and the output stays all the same, it does not matter which word is attended to
    (Jain & Wallace 2019, figure 4).

    Args:
        permutation: result with `permutation`, or that table: columns predicted, max_attention,
            median_tvd.

    Raises:
        FigureError: a missing column, or more classes than can be told apart.
    """
    columns = ["predicted", "max_attention", "median_tvd"]
    table = table_of(getattr(permutation, "permutation", permutation), columns)
    classes = sorted(table["predicted"].unique())
    check_few([str(name) for name in classes], "rows of the table", "classes")
    ax = axes_for(ax, min(figure_width(ax) * 0.8, 4.0))
    for place, name in enumerate(classes):
        members = table[table["predicted"] == name]
        ax.scatter(
            members["max_attention"],
            members["median_tvd"],
            s=9,
            marker=MARKERS[place],
            facecolors="none",
            edgecolors=PALETTE[place],
            linewidths=0.6,
            alpha=0.7,
            label=f"{name} ({len(members):,})",
        )
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.set_xlabel("largest attention weight")
    ax.set_ylabel("median TVD when permuted")
    ax.legend(title="predicted class (texts)", loc="lower left", bbox_to_anchor=(0.0, 1.0),
              ncols=4, borderaxespad=0.1, alignment="left")  # fmt: skip
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
