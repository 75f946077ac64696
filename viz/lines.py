"""What the layers know: the score of a probe over the layers, with its baselines."""

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ..errors import FigureError
from .checks import check_one_row_each, rows_where, table_of
from .style import MARKERS, PALETTE, axes_for, axes_inches, figure_width

_BASELINES = {"majority": "majority class", "lookup": "type lookup"}
_COLUMNS = ["task", "layer", "probe", "metric", "value", "ci_low", "ci_high", "control"]


def probe_lines(
    probes: Any, *, task: str, metric: str | None = None, ax: Axes | None = None
) -> Axes:
    """Score of a task's probes over the layers, with 95 % bands.

    Dashed: the same probe on control labels. Dotted: the baselines that see no hidden state.

    Args:
        probes: result with columns task, layer, probe, metric, value, ci_low, ci_high, control.
        task: the task to draw.
        metric: needed only where the table has several for the task.

    Raises:
        FigureError: a missing column, an unknown task or metric, or no metric where one is needed.
    """
    rows = _one_metric(rows_where(table_of(probes, _COLUMNS), "task", task), metric)
    lines, baselines = probe_parts(rows)
    ax = axes_for(ax, min(figure_width(ax) * 0.62, 3.5))
    ends: list[tuple[float, str, str]] = []
    for place, (name, line) in enumerate(lines.items()):
        colour = PALETTE[place]
        ax.fill_between(line["layer"], line["ci_low"], line["ci_high"], color=colour, alpha=0.2)
        ax.plot(line["layer"], line["value"], color=colour, marker=MARKERS[place], label=name)
        ends.append((line["value"].iloc[-1], f"{name} probe", colour))
        if line["control"].notna().any():
            ax.plot(line["layer"], line["control"], "--", color=colour, marker="")
            known = line["control"].dropna()
            ends.append((known.iloc[-1], f"{name}, control", colour))
    for name, baseline in baselines.items():
        _draw_baseline(ax, baseline)
        ends.append((baseline["value"].iloc[-1], _BASELINES[name], "0.3"))
    _finish(ax, task, str(rows["metric"].iloc[0]))
    _label_ends(ax, ends)
    return ax


def probe_parts(rows: pd.DataFrame) -> tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame]]:
    """The probes and the baselines, each a table sorted by layer.

    A baseline that is the same in every layer becomes one row without a layer.

    Raises:
        FigureError: there are only baselines, or a probe has two rows for a layer.
    """
    lines, baselines = {}, {}
    for name, group in rows.groupby("probe", sort=False):
        group = group.sort_values("layer")
        if name not in _BASELINES:
            check_one_row_each(group, ["layer"])
            lines[str(name)] = group
        elif group["value"].nunique() == 1:
            baselines[str(name)] = group.head(1).assign(layer=np.nan)
        else:
            baselines[str(name)] = group
    if not lines:
        raise FigureError(
            f"The table has only baselines for this task ({sorted(baselines)}), no probe to draw."
        )
    return lines, baselines


def _one_metric(rows: pd.DataFrame, metric: str | None) -> pd.DataFrame:
    if metric is not None:
        return rows_where(rows, "metric", metric)
    metrics = sorted(rows["metric"].unique())
    if len(metrics) > 1:
        raise FigureError(f"The task has several metrics, {metrics}: say which with `metric=`.")
    return rows


def _draw_baseline(ax: Axes, baseline: pd.DataFrame) -> None:
    look: dict[str, Any] = {"color": "0.3", "linestyle": ":", "marker": ""}
    if baseline["layer"].isna().all():
        ax.axhline(baseline["value"].iloc[0], **look)
    else:
        ax.plot(baseline["layer"], baseline["value"], **look)


def _finish(ax: Axes, task: str, metric: str) -> None:
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.margins(x=0.03)
    ax.set_xlabel("hidden state (0 = embeddings)")
    ax.set_ylabel(f"{task}: {metric.replace('_', ' ')}")


def _label_ends(ax: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Name each line at its right end, moving names apart where they would overlap."""
    low, high = ax.get_ylim()
    ax.set_ylim(low, high)
    gap = 1.25 * mpl.rcParams["font.size"] / 72 / axes_inches(ax)[1] * (high - low)
    ends = sorted(ends)
    for y, (_, name, colour) in zip(spread([end[0] for end in ends], gap), ends, strict=True):
        ax.text(
            1.01, y, name, color=colour, transform=ax.get_yaxis_transform(), va="center_baseline"
        )


def spread(values: list[float], gap: float) -> list[float]:
    """Ascending positions at least `gap` apart, as near to the ascending values as that allows."""
    places = list(values)
    for _ in range(20 * len(places)):  # each round halves what is left
        for k in range(1, len(places)):
            short = gap - (places[k] - places[k - 1])
            if short > 1e-12:
                places[k - 1] -= short / 2
                places[k] += short / 2
    return places
