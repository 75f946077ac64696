"""Names beside points, where there is room for them."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from .style import figure_of


def label_points(ax: Axes, points: np.ndarray, named: np.ndarray, names: Sequence[str]) -> None:
    """Name points: right, left, above or below, wherever it is free; else not at all.

    Args:
        points: (point, 2), all that names must not hide, in data coordinates.
        named: (name, 2), the points to name, the most important first.
    """
    size = mpl.rcParams["font.size"]
    scale = 72 / figure_of(ax).dpi
    taken: list[tuple[float, float, float, float]] = [
        (x - 2, y - 2, x + 2, y + 2) for x, y in ax.transData.transform(points) * scale
    ]
    left, right = ax.bbox.x0 * scale, ax.bbox.x1 * scale
    spots = ax.transData.transform(named) * scale
    for name, (x, y), place in zip(names, spots, named, strict=True):
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
