"""Agreement of scores with each other: all pairs, and sentence by sentence."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from ..errors import FigureError
from .checks import check_one_row_each, rows_where, table_of
from .grids import colour_bar, draw_cells
from .numbered import name_cells, named_height, number_cells
from .score_names import GROUPS, group_of, in_order, score_name
from .style import DIVERGING, PALETTE, axes_for, text_height

_STATISTIC = "kendall_tau_b"
_FLOORS, _METHODS = "floors", "other importance methods"


def agreement_matrix(agreement: Any, *, ax: Axes | None = None) -> Axes:
    """Mean Kendall τ-b of every score (down) with every score it is compared with (across).

    Single heads are left out. Where cells are too narrow for numbers, − marks the negative ones.
    Grey: a score with itself, and pairs that the table does not have.

    Args:
        agreement: result with columns score, against, statistic, mean.

    Raises:
        FigureError: a missing column, a table without τ-b or of single heads only, or two rows
            for a pair.
    """
    table = table_of(agreement, ["score", "against", "statistic", "mean"])
    grid = agreement_grid(rows_where(table, "statistic", _STATISTIC))
    rows, columns = ([score_name(name) for name in names] for names in (grid.index, grid.columns))
    ax = axes_for(ax, named_height(len(rows), columns))
    mesh = draw_cells(ax, grid, DIVERGING, Normalize(-1.0, 1.0))
    colour_bar(ax, mesh, "mean Kendall τ-b")
    name_cells(ax, rows, columns)
    number_cells(ax, mesh, grid)
    return ax


def agreement_grid(rows: pd.DataFrame) -> pd.DataFrame:
    """Means, index score, columns against, in the order of the groups.

    Raises:
        FigureError: there are only single heads, or two rows for a pair.
    """
    single = rows[rows["score"] != "attention"]
    if single.empty:
        raise FigureError("The table has only single heads; draw those with `agreement_points`.")
    check_one_row_each(single, ["score", "against"])
    grid = single.pivot(index="score", columns="against", values="mean")
    return grid.loc[in_order(grid.index), in_order(grid.columns)]


def agreement_distributions(sentences: Any, *, against: str, ax: Axes | None = None) -> Axes:
    """Kendall τ-b of each sentence: the median, the middle half (box) and 5 to 95 % (line).

    Hatched: the middle half of the best floor (scores that know nothing of the model) and of the
    importance method that comes closest, both chosen by their medians on these sentences. The
    latter is no ceiling, but attention that agrees as closely is as good as importance is.
    Single heads are left out.

    Args:
        sentences: table with columns score, against, statistic, sentence, value
            (`attribution.agreement.compare(…).table()`).
        against: the importance method that everything is compared with.

    Raises:
        FigureError: a missing column, a method that the table does not have, or no score with a
            value.
    """
    columns = ["score", "against", "statistic", "sentence", "value"]
    table = rows_where(table_of(sentences, columns), "statistic", _STATISTIC)
    rows = distribution_rows(rows_where(table, "against", against))
    ax = axes_for(ax, 0.75 + (len(rows) + 3) * text_height() * 1.3)
    ax.axvline(0, color="0.7", linewidth=0.6, zorder=0)
    _band(ax, rows[rows["group"] == _FLOORS], "////", "best floor")
    _band(ax, rows[rows["group"] == _METHODS], "....", "closest method")
    _boxes(ax, rows)
    counts = zip(rows["name"], rows["n"], strict=True)
    ax.set_yticks(rows["y"], [f"{name} ({n:,})" for name, n in counts])
    ax.set_ylim(rows["y"].max() + 0.6, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(
        f"agreement with {score_name(against)}: Kendall τ-b\n"
        "(of so many sentences: median, 25–75 %, 5–95 %)",
        loc="right",
    )
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.1,
                  title="middle half of", alignment="left")  # fmt: skip
    return ax


def distribution_rows(table: pd.DataFrame) -> pd.DataFrame:
    """`score,name,group,n,q5,q25,q50,q75,q95,y`, in the order of the groups, a gap between them.

    Raises:
        FigureError: two values for a sentence, or no score with a value.
    """
    known = table[table["score"] != "attention"].dropna(subset="value")
    if known.empty:
        raise FigureError("No score has a value in any sentence, so there is nothing to draw.")
    check_one_row_each(known, ["score", "sentence"])
    rows: list[dict[str, Any]] = []
    y = 0.0
    by_score = dict(iter(known.groupby("score")["value"]))
    for score in in_order(list(by_score)):
        group, values = group_of(score), by_score[score]
        if rows and rows[-1]["group"] != group:
            y += 0.7
        quantiles = {f"q{k}": values.quantile(k / 100) for k in (5, 25, 50, 75, 95)}
        rows.append({"score": score, "name": score_name(score), "group": group,
                     "n": len(values), **quantiles, "y": y})  # fmt: skip
        y += 1.0
    return pd.DataFrame(rows)


def _band(ax: Axes, rows: pd.DataFrame, hatch: str, name: str) -> None:
    """The middle half of the score with the highest median; hatched, so that two may overlap."""
    if len(rows):
        best = rows.iloc[int(rows["q50"].argmax())]
        ax.axvspan(
            best["q25"], best["q75"], facecolor="none", edgecolor="0.7", hatch=hatch, linewidth=0,
            zorder=-1, label=f"{name}: {best['name']}",
        )  # fmt: skip


def _boxes(ax: Axes, rows: pd.DataFrame) -> None:
    groups = [*GROUPS, "other scores"]
    colours = [PALETTE[groups.index(group)] for group in rows["group"]]
    ax.hlines(rows["y"], rows["q5"], rows["q95"], color=colours, linewidth=0.9)
    ax.barh(
        rows["y"], rows["q75"] - rows["q25"], left=rows["q25"], height=0.6, color="white",
        edgecolor=colours, linewidth=0.9,
    )  # fmt: skip
    ax.vlines(rows["q50"], rows["y"] - 0.3, rows["y"] + 0.3, color=colours, linewidth=2.0)
