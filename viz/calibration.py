"""Which scores find evidence that is known to be there."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from .checks import check_one_row_each, plain, table_of
from .grids import colour_bar, draw_cells
from .numbered import name_cells, named_height, number_cells, short_number
from .score_names import in_order, score_name
from .style import SEQUENTIAL, axes_for


def calibration_map(calibration: Any, *, ax: Axes | None = None) -> Axes:
    """Mean average precision of each score (down) on each kind of planted evidence (across).

    ✓ marks scores that pass, ✗ those that fail, ? those whose interval does not say.

    Args:
        calibration: result with columns trap, score, mean, baseline, passes.

    Raises:
        FigureError: a missing column, or two rows for a trap and score.
    """
    table = table_of(calibration, ["trap", "score", "mean", "baseline", "passes"])
    check_one_row_each(table, ["trap", "score"])
    traps = list(dict.fromkeys(table["trap"]))
    scores = in_order(table["score"].unique())
    grid, passes = (
        table.pivot(index="score", columns="trap", values=name).loc[scores, traps]
        for name in ("mean", "passes")
    )
    passed = passes.astype("boolean").fillna(False).to_numpy(dtype=bool)
    marks = np.where(passes.isna(), " ?", np.where(passed, " ✓", " ✗"))
    baselines = table.groupby("trap")["baseline"].mean()
    columns = [f"{plain(trap)} ({short_number(baselines[trap])})" for trap in traps]
    ax = axes_for(ax, named_height(len(scores), columns, lines=1.5))
    mesh = draw_cells(ax, grid, SEQUENTIAL, Normalize(0.0, 1.0))
    colour_bar(ax, mesh, "average precision (in brackets: random)")
    name_cells(ax, [score_name(name) for name in scores], columns)
    ax.set_title("✓ passes  ✗ fails  ? undecided")
    number_cells(ax, mesh, grid, marks)
    return ax
