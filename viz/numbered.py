"""Heat maps of named rows and columns, with the number of every cell in it."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh

from ..errors import FigureError
from .grids import sign_cells
from .style import axes_inches, colour_at, figure_of, text_height, text_on

_SMALLEST = 5.0  # points


def name_cells(ax: Axes, rows: Sequence[str], columns: Sequence[str]) -> None:
    """Name every row, and every column upright below it, in smaller print where they are narrow.

    Comes after the colour bar, which takes room from them.

    Raises:
        FigureError: so many columns that their names would lie on each other.
    """
    ax.set_yticks(np.arange(len(rows)), rows)
    ax.set_xticks(np.arange(len(columns)), columns, rotation=90)
    figure_of(ax).draw_without_rendering()  # lays out, so that the cells have their size
    size, cell = mpl.rcParams["font.size"], 72 * axes_inches(ax)[0] / len(columns)
    if cell < _SMALLEST:
        raise FigureError(
            f"{len(columns)} columns are too narrow for their names in a figure of "
            f"{figure_of(ax).get_figwidth():.1f} inches: draw it wider, such as with "
            "`viz.style(columns=2)`, or give fewer rows of the table."
        )
    ax.tick_params(axis="x", labelsize=min(size, cell))


def named_height(rows: int, columns: Sequence[str], lines: float = 0.0) -> float:
    """Height in inches of a grid with upright names below it and `lines` of text above it."""
    below = 0.62 * max(len(name) for name in columns) * mpl.rcParams["font.size"] / 72
    return 0.25 + below + (1.4 * rows + lines) * text_height()


def number_cells(
    ax: Axes, mesh: QuadMesh, grid: pd.DataFrame, marks: np.ndarray | None = None
) -> None:
    """Write the value of every cell into it, to two digits, and its mark (row, column) after it.

    Smaller where cells are narrow; where that would be under 5 pt, only − in negative cells.
    """
    values = grid.to_numpy(dtype=float)
    after = np.full(values.shape, "") if marks is None else marks
    labels = [
        (row, column, short_number(values[row, column]) + after[row, column])
        for row, column in np.argwhere(~np.isnan(values))
    ]
    figure_of(ax).draw_without_rendering()  # lays out, so that the cells have their size
    cell = 72 * axes_inches(ax)[0] / values.shape[1]
    longest = max((len(label) for _, _, label in labels), default=1)
    size = min(mpl.rcParams["font.size"], cell / (0.62 * longest))
    if size < _SMALLEST:
        sign_cells(ax, grid, values < 0)
        return
    places = np.asarray(mesh.norm(values), dtype=float)
    for row, column, label in labels:
        ax.text(
            column, row, label, ha="center", va="center_baseline", fontsize=size,
            color=text_on(colour_at(mesh.cmap, places[row, column])),
        )  # fmt: skip


def short_number(value: float) -> str:
    """Two digits after the point, without a zero before it."""
    digits = f"{abs(value):.2f}".removeprefix("0")
    return f"−{digits}" if value < 0 and digits != ".00" else digits
