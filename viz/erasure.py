"""The prediction as words go or come back, the highest-scored first."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from ..errors import FigureError
from .checks import check_one_row_each, rows_where, table_of
from .lines import check_few, draw_band, draw_reference
from .score_names import in_order, score_name
from .style import axes_for, figure_width

#: What every ranking is read against, and how its line looks.
_REFERENCES = {"random": ":", "leave_one_out_reversed": "--"}
_CURVES = {"deletion": "words erased", "insertion": "words put back"}


def erasure_curves(
    curves: Any,
    *,
    metric: str = "deletion",
    operator: str | None = None,
    scores: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """p of the prediction by the share of words erased or put back, with 95 % bands.

    A good ranking falls fast in deletion and rises fast in insertion. Grey: the random ranking
    (dotted) and that of leave-one-out turned around (dashed).

    Args:
        curves: result with `points`, or that table: columns score, metric, operator, share, mean,
            ci_low, ci_high.
        metric: `deletion` or `insertion`.
        operator: how words are erased; needed only where the table has several.
        scores: the rankings to draw (default: all); those in grey always are, where the table
            has them.

    Raises:
        FigureError: a missing column, an unknown metric, operator or score, no operator where one
            is needed, or too many lines.
    """
    columns = ["score", "metric", "operator", "share", "mean", "ci_low", "ci_high"]
    rows = rows_where(table_of(getattr(curves, "points", curves), columns), "metric", metric)
    rows = _one_operator(rows, operator)
    check_one_row_each(rows, ["score", "share"])
    names = [name for name in in_order(rows["score"].unique()) if name not in _REFERENCES]
    names = names if scores is None else list(scores)
    lines = {name: rows_where(rows, "score", name).sort_values("share") for name in names}
    check_few(names, "`scores=`")
    ax = axes_for(ax, min(figure_width(ax) * 0.7, 3.5))
    for place, (name, line) in enumerate(lines.items()):
        draw_band(ax, line, "share", "mean", score_name(name), place)
    for name, dashes in _REFERENCES.items():
        line = rows[rows["score"] == name].sort_values("share")
        if len(line):
            draw_reference(ax, line, "share", "mean", score_name(name), dashes)
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    ax.set_xlabel(_CURVES.get(metric, metric))
    ax.set_ylabel("p of the prediction")
    # Above, for all rankings end at the same point.
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0.1,
              handlelength=1.6)  # fmt: skip
    return ax


def _one_operator(rows: pd.DataFrame, operator: str | None) -> pd.DataFrame:
    if operator is not None:
        return rows_where(rows, "operator", operator)
    operators = sorted(rows["operator"].unique())
    if len(operators) > 1:
        raise FigureError(f"There are several operators, {operators}: say which with `operator=`.")
    return rows
