"""A statistic of every head over the layers, as in figures 2 and 4 of Clark et al. 2019."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ..errors import FigureError
from .checks import check_one_row_each, rows_where, table_of
from .style import MARKERS, PALETTE, axes_for, figure_width

_UNITS = {"entropy": "entropy (nats)", "distance": "distance (tokens)"}


def layer_curves(
    heads: Any, *, statistics: Sequence[str] = ("cls", "sep", "punctuation"), ax: Axes | None = None
) -> Axes:
    """One mark a head, and a line through the means of the layers, for each statistic.

    Dotted: the same for attention spread evenly over the visible keys.

    Args:
        heads: result with columns layer, head, statistic, mean, baseline.
        statistics: of one unit (shares of attention, or `entropy` alone).

    Raises:
        FigureError: a missing column, a statistic that the table does not have, or statistics of
            different units.
    """
    units = {_UNITS.get(name, "share of attention") for name in statistics}
    if len(units) != 1:
        raise FigureError(
            f"The statistics {list(statistics)} have the units {sorted(units) or 'of none'}; draw "
            "those of one unit, the others in a figure of their own."
        )
    table = table_of(heads, ["layer", "head", "statistic", "mean", "baseline"])
    ax = axes_for(ax, min(figure_width(ax) * 0.62, 3.5))
    for place, statistic in enumerate(statistics):
        rows = rows_where(table, "statistic", statistic)
        check_one_row_each(rows, ["layer", "head"])
        means = rows.groupby("layer")[["mean", "baseline"]].mean()
        colour, marker = PALETTE[place % len(PALETTE)], MARKERS[place % len(MARKERS)]
        # Moved apart, so that the heads of several statistics do not hide each other.
        shift = 0.12 * (place - (len(statistics) - 1) / 2)
        ax.plot(
            rows["layer"] + shift, rows["mean"], linestyle="none", marker=marker, color=colour,
            markersize=3, markerfacecolor="none", markeredgewidth=0.6,
        )  # fmt: skip
        ax.plot(
            means.index, means["mean"], color=colour, marker=marker, label=statistic, markersize=4
        )
        ax.plot(means.index, means["baseline"], ":", color=colour, marker="")
    layers = np.unique(table["layer"])
    ax.set_xlim(layers.min() - 0.4, layers.max() + 0.4)
    ax.set_ylim(bottom=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("layer")
    ax.set_ylabel(units.pop())
    title = "open: heads; line: mean of the layer; dotted: even"
    if len(statistics) > 1:
        # Above, where no mark can lie.
        ax.legend(
            title=title, ncols=min(3, len(statistics)), alignment="left", loc="lower left",
            bbox_to_anchor=(0.0, 1.0), borderaxespad=0.1,
        )  # fmt: skip
    else:
        ax.set_title(title)
    return ax
