"""Points with intervals: agreement with attention, best heads of relations, minimal pairs."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..errors import FigureError
from .checks import check_one_row_each, head_name, rows_where, table_of
from .score_names import GROUPS, group_of, in_order, score_name
from .style import PALETTE, axes_for, text_height

_STATISTIC = "kendall_tau_b"
_DIRECTIONS = {"dependent_to_head": "dep→head", "head_to_dependent": "head→dep"}


def agreement_points(agreement: Any, *, against: str, ax: Axes | None = None) -> Axes:
    """How well each score ranks words as `against` does: mean Kendall τ-b with its interval.

    Three groups: scores from attention, floors (scores that know nothing of the model), and
    other importance methods, the reference to read attention against.

    Args:
        agreement: result with columns score, against, statistic, mean, ci_low, ci_high, n.
        against: the importance method that everything is compared with.

    Raises:
        FigureError: a missing column, or a method that the table does not have.
    """
    columns = ["score", "against", "statistic", "mean", "ci_low", "ci_high", "n"]
    table = rows_where(table_of(agreement, columns), "statistic", _STATISTIC)
    rows = agreement_rows(rows_where(table, "against", against))
    ax = axes_for(ax, 0.7 + (rows["y"].max() + 1) * text_height() * 1.15)
    ax.axvline(0, color="0.7", linewidth=0.6, zorder=0)
    heads, single = rows[rows["score"] == "attention"], rows[rows["score"] != "attention"]
    ax.plot(heads["mean"], heads["y"], "|", color=PALETTE[0], alpha=0.45, markersize=7)
    for place, (group, members) in enumerate(single.groupby("group", sort=False)):
        _intervals(ax, members, "mean", color=PALETTE[place], marker="osD^"[place], label=group)
    _label_groups(ax, rows)
    ax.set_xlabel(
        f"agreement with {score_name(against)}: Kendall τ-b\n"
        f"(mean over {_counts(rows['n'])} sentences, 95 % interval)",
        loc="right",  # may run under the names of the scores
    )
    return ax


def agreement_rows(table: pd.DataFrame) -> pd.DataFrame:
    """The rows in drawing order with their group and height `y`; headings take a line each.

    Scores that are in none of the groups come last, as `other scores`.
    """
    single = table[table["score"] != "attention"]
    check_one_row_each(single, ["score"])
    rest = [score for score in in_order(set(table["score"])) if group_of(score) not in GROUPS]
    groups = {**GROUPS, "other scores": {score: score_name(score) for score in rest}}
    parts, y = [], -1.0
    for group, scores in groups.items():
        if not set(scores) & set(table["score"]):
            continue
        y += 1.0  # the line of the heading
        for score, name in scores.items():
            rows = table[table["score"] == score]
            if len(rows):
                y += 1.0
                parts.append(rows.assign(group=group, name=name, y=y))
        y += 0.4
    return pd.concat(parts, ignore_index=True)


def relation_points(best_heads: Any, *, ax: Axes | None = None) -> Axes:
    """Accuracy of the best head of each relation, with its interval, beside the baseline.

    Filled where the head beats the best fixed offset (adjusted p below .05).

    Args:
        best_heads: result with columns relation, direction, layer, head, accuracy, ci_low,
            ci_high, n, baseline_accuracy, p_adjusted.

    Raises:
        FigureError: a missing column, or two rows for a relation.
    """
    rows = relation_rows(best_heads)
    ax = axes_for(ax, 0.4 + (len(rows) * 1.2 + 3) * text_height())
    ax.hlines(rows["y"], rows["baseline_accuracy"], rows["accuracy"], color="0.8", linewidth=1.5)
    ax.plot(rows["baseline_accuracy"], rows["y"], "|k", markersize=6)
    for significant, members in rows.groupby("significant"):
        fill = PALETTE[0] if significant else "white"
        _intervals(ax, members, "accuracy", color=PALETTE[0], marker="o", mfc=fill)
    ax.set_yticks(rows["y"], rows["label"])
    ax.set_ylim(rows["y"].max() + 0.6, -0.6)
    for y, who in zip(rows["y"], rows["who"], strict=True):
        ax.text(1.02, y, who, transform=ax.get_yaxis_transform(), va="center_baseline")
    ax.set_xlim(0, 1)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("accuracy, 95 % interval\nbar: offset baseline\nfilled: p < .05")
    return ax


def relation_rows(best_heads: Any) -> pd.DataFrame:
    """The table, best accuracy first, with `y`, `label`, `who` and `significant`.

    Raises:
        FigureError: a missing column, two rows for a relation, or an unknown direction.
    """
    columns = ["relation", "direction", "layer", "head", "accuracy", "ci_low", "ci_high"]
    table = table_of(best_heads, [*columns, "n", "baseline_accuracy", "p_adjusted"])
    check_one_row_each(table, ["relation"])
    if unknown := sorted(set(table["direction"]) - set(_DIRECTIONS), key=str):
        raise FigureError(f"Unknown direction {unknown}; expected one of {list(_DIRECTIONS)}.")
    rows = table.sort_values("accuracy", ascending=False, kind="stable").reset_index(drop=True)
    heads = zip(rows["layer"], rows["head"], rows["direction"], strict=True)
    return rows.assign(
        y=np.arange(len(rows)),
        label=[f"{r} ({n})" for r, n in zip(rows["relation"], rows["n"], strict=True)],
        who=[f"{head_name(layer, head)} {_DIRECTIONS[way]}" for layer, head, way in heads],
        significant=rows["p_adjusted"] < 0.05,
    )


def preference_points(
    preferences: Any,
    *,
    level: str = "phenomenon",
    measure: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """How often the model prefers the good sentence of a minimal pair, with its interval.

    Best first; the line is guessing. Filled where that is beaten (adjusted p below .05).

    Args:
        preferences: result with columns level, name, measure, accuracy, ci_low, ci_high, n,
            p_adjusted.
        level: `phenomenon`, `paradigm` or `overall`.
        measure: how sentences are scored; needed only where the table has several.

    Raises:
        FigureError: a missing column, an unknown level or measure, or no measure where one is
            needed.
    """
    columns = ["level", "name", "measure", "accuracy", "ci_low", "ci_high", "n", "p_adjusted"]
    rows = rows_where(table_of(preferences, columns), "level", level)
    measures = sorted(rows["measure"].unique())
    if measure is None and len(measures) > 1:
        raise FigureError(f"There are several measures, {measures}: say which with `measure=`.")
    rows = rows_where(rows, "measure", measures[0] if measure is None else measure)
    check_one_row_each(rows, ["name"])
    rows = rows.sort_values("accuracy", ascending=False, kind="stable").reset_index(drop=True)
    rows = rows.assign(y=np.arange(len(rows)), significant=rows["p_adjusted"] < 0.05)
    ax = axes_for(ax, 0.4 + (len(rows) * 1.2 + 2) * text_height())
    ax.axvline(0.5, color="0.7", linewidth=0.6, zorder=0)
    for significant, members in rows.groupby("significant"):
        fill = PALETTE[0] if significant else "white"
        _intervals(ax, members, "accuracy", color=PALETTE[0], marker="o", mfc=fill)
    names = [str(name).replace("_", " ") for name in rows["name"]]
    labels = [f"{name} ({n:,})" for name, n in zip(names, rows["n"], strict=True)]
    ax.set_yticks(rows["y"], labels)
    ax.set_ylim(rows["y"].max() + 0.6, -0.6)
    ax.set_xlim(min(0.4, rows["ci_low"].min() - 0.02), 1.01)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("accuracy, 95 % interval\nline: guessing; filled: p < .05", loc="right")
    return ax


def _intervals(ax: Axes, rows: pd.DataFrame, value: str, **look: Any) -> None:
    reach = np.abs([rows[value] - rows["ci_low"], rows["ci_high"] - rows[value]])
    ax.errorbar(rows[value], rows["y"], xerr=reach, linestyle="none", elinewidth=1.0, **look)


def _label_groups(ax: Axes, rows: pd.DataFrame) -> None:
    """Names of the scores on the y axis, each group under a heading and a thin line."""
    scores = rows.drop_duplicates("score")
    headings = scores.drop_duplicates("group")
    ax.set_yticks([*headings["y"] - 1, *scores["y"]], [*headings["group"] + ":", *scores["name"]])
    for label in ax.get_yticklabels()[: len(headings)]:
        label.set_fontweight("bold")
    for y in headings["y"].iloc[1:]:
        ax.axhline(y - 1.7, color="0.8", linewidth=0.6)
    ax.set_ylim(rows["y"].max() + 0.6, -0.6)
    ax.tick_params(axis="y", length=0)


def _counts(n: pd.Series) -> str:
    low, high = int(n.min()), int(n.max())
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"
