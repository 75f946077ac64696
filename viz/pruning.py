"""A model made smaller: quality as heads go, and quality, size and time before and after."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from ..errors import FigureError
from .checks import check_one_row_each, plain, rows_where, table_of
from .dodged import draw_dodged
from .lines import check_few, draw_band, draw_reference
from .style import PALETTE, axes_for, figure_width, text_height

#: What every order is read against.
_RANDOM, _REVERSED = "random", "reversed"


def pruning_curves(curves: Any, *, metric: str | None = None, ax: Axes | None = None) -> Axes:
    """A metric by the share of heads removed, one line an order, with 95 % bands.

    Grey: random orders (dotted: their mean; area: 95 % of them) and the importance turned around
    (dashed, without a band, which would lie on that of the random orders). The thin line is the
    model with all heads.

    Args:
        curves: result with columns order, removed, share_removed, metric, value, ci_low, ci_high.
        metric: needed only where the table has several.

    Raises:
        FigureError: a missing column, an unknown metric, none where one is needed, two rows for a
            point, or too many orders.
    """
    columns = ["order", "removed", "share_removed", "metric", "value", "ci_low", "ci_high"]
    rows = _one_metric(table_of(curves, columns), metric)
    check_one_row_each(rows, ["order", "removed"])
    rows = rows.sort_values("share_removed", kind="stable")
    lines = {str(name): line for name, line in rows.groupby("order", sort=False)}
    names = [name for name in lines if name not in (_RANDOM, _REVERSED)]
    check_few(names, "rows of the table", "orders")
    ax = axes_for(ax, min(figure_width(ax) * 0.75, 3.5))
    for place, name in enumerate(names):
        draw_band(ax, lines[name], "share_removed", "value", plain(name), place)
    if _RANDOM in lines:
        draw_reference(ax, lines[_RANDOM], "share_removed", "value", _RANDOM, ":")
    if _REVERSED in lines:
        line = lines[_REVERSED]
        ax.plot(line["share_removed"], line["value"], "--", color="0.2", marker="", label=_REVERSED)
    for base in rows.loc[rows["removed"] == 0, "value"].unique()[:1]:
        ax.axhline(base, color="0.6", linewidth=0.6, marker="", zorder=0, label="all heads")
    ax.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    ax.set_xlim(left=0)
    ax.set_xlabel("heads removed")
    ax.set_ylabel(plain(rows["metric"].iloc[0]))
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0.1,
              handlelength=1.6)  # fmt: skip
    return ax


def pruning_bars(pruning: Any, *, ax: Axes | None = None) -> Axes:
    """Quality and size after pruning (dark) as a share of before (light), one pair a metric.

    Lines: the paired 95 % interval of the change. On the right, the numbers themselves.

    Args:
        pruning: result with columns metric, before, after, delta, ci_low, ci_high, n; rows of
            size have no interval and no n.

    Raises:
        FigureError: a missing column, two rows for a metric, or one that is not above 0 before,
            of which there is no share.
    """
    columns = ["metric", "before", "after", "delta", "ci_low", "ci_high", "n"]
    rows = table_of(pruning, columns)
    check_one_row_each(rows, ["metric"])
    if (unfit := ~(rows["before"] > 0)).any():
        raise FigureError(
            f"{sorted(rows.loc[unfit, 'metric'])} are not above 0 before pruning, so nothing is a "
            "share of them; leave out these rows."
        )
    ax = axes_for(ax, 0.6 + len(rows) * 2.7 * text_height())
    y, before = np.arange(len(rows)), rows["before"]
    ax.barh(y + 0.02, np.ones(len(rows)), height=0.26, color="0.85", edgecolor="0.4",
            linewidth=0.6, label="before")  # fmt: skip
    ax.barh(y + 0.3, rows["after"] / before, height=0.26, color=PALETTE[0], label="after")
    low, high = (1 + rows[name] / before for name in ("ci_low", "ci_high"))
    ax.hlines(y + 0.3, low, high, color="black", linewidth=1.0)
    ax.plot([low, high], [y + 0.3] * 2, "|", color="black", markersize=4)
    counts = [f" ({int(n):,})" if n > 0 else "" for n in rows["n"]]
    names = [f"{plain(name)}{count}" for name, count in zip(rows["metric"], counts, strict=True)]
    numbers = [f"{_short(b)} → {_short(a)}" for b, a in zip(before, rows["after"], strict=True)]
    # Above the bars: long names beside them would leave the bars no room.
    for side, labels in (("left", names), ("right", numbers)):
        for place, label in zip(y, labels, strict=True):
            ax.text(float(side == "right"), place - 0.3, label, ha=side, va="center_baseline",
                    transform=ax.get_yaxis_transform())  # fmt: skip
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.set_ylim(len(rows) - 0.45, -0.5)
    ax.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    ax.set_xlabel("share of before, 95 % interval of the change")
    ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, borderaxespad=0.1)
    return ax


def latency_ratios(latency: Any, *, ax: Axes | None = None) -> Axes:
    """Ratio of times by length of the texts, with its 95 % interval, one series a batch size.

    Args:
        latency: result with columns batch_size, length, ratio, ratio_low, ratio_high.

    Raises:
        FigureError: a missing column, two rows for a batch size and length, or too many batch
            sizes.
    """
    rows = table_of(latency, ["batch_size", "length", "ratio", "ratio_low", "ratio_high"])
    check_one_row_each(rows, ["batch_size", "length"])
    lengths = np.unique(rows["length"])
    rows = rows.assign(
        x=np.searchsorted(lengths, rows["length"]),
        value=rows["ratio"], low=rows["ratio_low"], high=rows["ratio_high"], filled=True,
    )  # fmt: skip
    series = {f"{size:,}": own for size, own in rows.groupby("batch_size")}
    check_few(list(series), "rows of the table", "batch sizes")
    ax = axes_for(ax, min(figure_width(ax) * 0.62, 3.5))
    ax.axhline(1, color="0.6", linewidth=0.6, marker="", zorder=0)
    draw_dodged(ax, series, "batch size")
    ax.set_xticks(np.arange(len(lengths)), [f"{length:,}" for length in lengths])
    ax.set_xlabel("length (tokens)")
    ax.set_ylabel("time after / before")
    return ax


def _one_metric(rows: pd.DataFrame, metric: str | None) -> pd.DataFrame:
    if metric is not None:
        return rows_where(rows, "metric", metric)
    metrics = sorted(rows["metric"].unique())
    if len(metrics) > 1:
        raise FigureError(f"There are several metrics, {metrics}: say which with `metric=`.")
    return rows


def _short(value: float) -> str:
    """Whole numbers under 10,000 as they are, others in three digits, the large as k, M or G."""
    if abs(value) < 1e4 and float(value).is_integer():
        return f"{int(value)}".replace("-", "−")
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= max(size, 1e4):
            return _digits(value / size) + letter
    return _digits(value)


def _digits(value: float) -> str:
    return f"{value:{'#.3g' if abs(value) < 100 else '.0f'}}".replace("-", "−")
