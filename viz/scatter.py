"""Scatter plots: removal of heads against their importance, attention against its permutation."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..errors import FigureError
from .checks import check_one_row_each, head_name, plain, rows_where, significant, table_of
from .labels import label_points
from .lines import check_few
from .style import MARKERS, PALETTE, axes_for, figure_of, figure_width

_LABELLED = 6


def effect_against_importance(
    importance: Any,
    ablation: Any = None,
    *,
    method: str | None = None,
    mode: str = "zero",
    metric: str = "target",
    correlation: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """One point a head: its importance (x), and the change when it is removed (y).

    Thin lines: 95 % intervals. Filled where the adjusted p of the change is at most .05. The
    heads with the largest changes and importances are named where there is room.

    Args:
        importance: result with columns layer, head, importance, ci_low, ci_high, and perhaps
            method; or, without `ablation`, a summary of heads with columns layer, head,
            importance, zero_delta, zero_ci_low, zero_ci_high, zero_p.
        ablation: result with columns layer, head, mode, metric, delta, ci_low, ci_high,
            p_adjusted.
        method: the importance to draw; needed only where the table has several.
        mode, metric: the removal, and what it changes; of `ablation`.
        correlation: the rank correlation to print: a table with columns value, ci_low, ci_high
            that has one row (of this method, mode and metric and of statistic `spearman`, where
            it has such columns).

    Raises:
        FigureError: a missing column, an unknown method, mode or metric, no method where one is
            needed, two rows for a head, or heads that only one of the tables has.
    """
    if ablation is None:
        rows = _summary_rows(importance)
    else:
        table, method = _one_method(importance, method)
        rows = effect_rows(table, _of_heads(ablation, mode, metric))
    title = "filled: adjusted p ≤ .05"
    if correlation is not None:
        chosen = {"method": method, "mode": mode, "metric": metric, "statistic": "spearman"}
        title = f"{_correlation(correlation, chosen)}\n{title}"
    ax = axes_for(ax, min(figure_width(ax) * 0.8, 4.0))
    ax.axhline(0, color="0.7", linewidth=0.6, marker="", zorder=0)
    ax.vlines(rows["importance"], rows["ci_low"], rows["ci_high"], color="0.7", linewidth=0.5)
    ax.hlines(
        rows["delta"], rows["importance_low"], rows["importance_high"], color="0.7", linewidth=0.5
    )
    fill = np.where(significant(rows["p"]), PALETTE[0], "white").tolist()
    ax.scatter(rows["importance"], rows["delta"], s=14, facecolors=fill, edgecolors=PALETTE[0],
               linewidths=0.7, zorder=2)  # fmt: skip
    ax.set_title(title)
    ax.set_xlabel("importance" if method is None else f"importance: {plain(method)}")
    ax.set_ylabel(f"change of {plain(metric)} ({mode} ablation)")
    _name_extremes(ax, rows)
    return ax


def _one_method(importance: Any, method: str | None) -> tuple[pd.DataFrame, str | None]:
    """The rows of one importance, and its name where the table has names."""
    table = table_of(importance, ["layer", "head", "importance", "ci_low", "ci_high"])
    if method is None and "method" not in table:
        return table, None
    methods = sorted(table_of(table, ["method"])["method"].unique())
    if method is None and len(methods) > 1:
        raise FigureError(f"There are several importances, {methods}: say which with `method=`.")
    method = str(methods[0] if method is None else method)
    return rows_where(table, "method", method), method


def _of_heads(ablation: Any, mode: str, metric: str) -> pd.DataFrame:
    columns = ["layer", "head", "mode", "metric", "delta", "ci_low", "ci_high", "p_adjusted"]
    rows = rows_where(rows_where(table_of(ablation, columns), "mode", mode), "metric", metric)
    return rows_where(rows, "kind", "head") if "kind" in rows else rows


def effect_rows(left: pd.DataFrame, right: pd.DataFrame) -> pd.DataFrame:
    """Importance and effect of each head: layer, head, importance, importance_low,
    importance_high, delta, ci_low, ci_high, p.

    Args:
        left: importances, columns layer, head, importance, ci_low, ci_high.
        right: effects, columns layer, head, delta, ci_low, ci_high, p_adjusted.

    Raises:
        FigureError: two rows for a head, or heads that only one of the tables has.
    """
    keys = ["layer", "head"]
    check_one_row_each(left, keys)
    check_one_row_each(right, keys)
    left = left[[*keys, "importance", "ci_low", "ci_high"]]
    left = left.rename(columns={"ci_low": "importance_low", "ci_high": "importance_high"})
    right = right[[*keys, "delta", "ci_low", "ci_high", "p_adjusted"]]
    right = right.rename(columns={"p_adjusted": "p"})
    both = left.merge(right, on=keys, how="outer", indicator=True)
    alone = both[both["_merge"] != "both"]
    if len(alone):
        layer, head, where = alone.iloc[0][[*keys, "_merge"]]
        table = "importance" if where == "left_only" else "ablation"
        raise FigureError(
            f"{len(alone)} heads are in one table only, such as {head_name(layer, head)} in that "
            f"of {table}; give importance and ablation of the same heads of the same model."
        )
    return both.drop(columns="_merge")


def _summary_rows(summary: Any) -> pd.DataFrame:
    """The same of a summary of heads, whose importances have no intervals."""
    names = {"zero_delta": "delta", "zero_ci_low": "ci_low", "zero_ci_high": "ci_high",
             "zero_p": "p"}  # fmt: skip
    table = table_of(summary, ["layer", "head", "importance", *names])
    check_one_row_each(table, ["layer", "head"])
    rows = table[["layer", "head", "importance", *names]].rename(columns=names)
    return rows.assign(importance_low=rows["importance"], importance_high=rows["importance"])


def _correlation(correlation: Any, chosen: dict[str, str | None]) -> str:
    rows = table_of(correlation, ["value", "ci_low", "ci_high"])
    for column, value in chosen.items():
        if column in rows and value is not None:
            rows = rows_where(rows, column, value)
    if len(rows) > 1:
        raise FigureError(
            f"The table of correlations has {len(rows)} rows for this figure; keep the one to "
            "print."
        )
    value, low, high = (f"{float(rows[name].iloc[0]):.2f}".replace("-", "−")
                        for name in ("value", "ci_low", "ci_high"))  # fmt: skip
    interval = "" if rows[["ci_low", "ci_high"]].isna().any(axis=None) else f" [{low}, {high}]"
    name = "Spearman's ρ" if "statistic" in rows else "rank correlation"
    return f"{name} {value}{interval}"


def _name_extremes(ax: Axes, rows: pd.DataFrame) -> None:
    places = ["importance", "delta"]
    by_effect = rows.loc[rows["delta"].abs().sort_values(ascending=False, kind="stable").index]
    by_importance = rows.sort_values("importance", ascending=False, kind="stable")
    extreme = pd.concat([by_effect.head(_LABELLED), by_importance.head(_LABELLED // 2)])
    extreme = extreme.drop_duplicates(["layer", "head"])
    names = [head_name(*head) for head in zip(extreme["layer"], extreme["head"], strict=True)]
    figure_of(ax).draw_without_rendering()  # lays out, so that the names know their room
    label_points(ax, rows[places].to_numpy(), extreme[places].to_numpy(), names)


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
