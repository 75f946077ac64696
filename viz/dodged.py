"""Series of points with intervals, side by side at each place."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from .style import MARKERS, PALETTE

_SPREAD = 0.5  # of the distance between two places


def draw_dodged(ax: Axes, series: dict[str, pd.DataFrame], title: str | None = None) -> None:
    """Points with intervals of several series, and their legend above.

    Args:
        series: by name, rows with columns x (places one apart), value, low, high, filled.
        title: of the legend.
    """
    shifts = np.linspace(-0.5, 0.5, len(series)) * _SPREAD if len(series) > 1 else [0.0]
    for place, ((name, rows), shift) in enumerate(zip(series.items(), shifts, strict=True)):
        colour, x = PALETTE[place], rows["x"] + shift
        ax.vlines(x, rows["low"], rows["high"], color=colour, linewidth=1.0)
        fill = [colour if filled else "white" for filled in rows["filled"]]
        ax.scatter(x, rows["value"], s=14, marker=MARKERS[place], facecolors=fill,
                   edgecolors=colour, linewidths=0.8, zorder=3, label=name)  # fmt: skip
    ax.legend(title=title, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=4,
              borderaxespad=0.1, alignment="left")  # fmt: skip
