"""What the layers know: scores of probes over the layers, and over the size of the training."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ..errors import FigureError
from .checks import check_one_row_each, rows_where, table_of
from .lines import End, check_few, draw_band, label_ends
from .style import PALETTE, axes_for, figure_width

#: Rows that see no hidden state.
BASELINES = {
    "majority": "majority class",
    "lookup": "type lookup",
    "linear_chain": "linear chain",
    "random": "random tree",
}
#: Other origins of hidden states, with the line of each.
_SOURCES = {
    "random_weights": ("random weights", "-."),
    "random_layers": ("random layers", (0, (6, 1, 1, 1, 1, 1))),
    "shuffled_words": ("shuffled words", (0, (9, 2))),
}
_NAMES = {"codelength": "codelength (bits)", "uuas": "UUAS", "dspr": "DSpr", "nspr": "NSpr"}
_QUANTITIES = ("value", "selectivity")
_COLUMNS = ["task", "layer", "probe", "metric", "value", "ci_low", "ci_high", "control"]
_KEYS = ["task", "probe"]


def probe_lines(
    probes: Any,
    *,
    task: str | Sequence[str],
    metric: str | None = None,
    quantity: str = "value",
    ax: Axes | None = None,
) -> Axes:
    """Score of probes over the layers, with 95 % bands; of several tasks, one beside another.

    With one task: dashed, the same probe on control labels; with other dashes, on the states of
    random models or of shuffled words; dotted, the baselines that see no hidden state. Also draws
    the table of description lengths (`metric="compression"` or `"codelength"`).

    Args:
        probes: result with columns task, layer, probe, metric, value, ci_low, ci_high, control,
            for selectivity also selectivity and its interval, and perhaps source.
        task: the task to draw, or several.
        metric: needed only where the table has several for the task.
        quantity: `value`, or `selectivity` (value minus that of control labels).

    Raises:
        FigureError: a missing column, an unknown task, metric or quantity, no metric where one is
            needed, or too many lines.
    """
    if quantity not in _QUANTITIES:
        raise FigureError(f"quantity is {quantity!r}; choose one of {', '.join(_QUANTITIES)}.")
    more = [quantity, f"{quantity}_ci_low", f"{quantity}_ci_high"] if quantity != "value" else []
    table = table_of(probes, [*_COLUMNS, *more])
    tasks = [task] if isinstance(task, str) else list(task)
    rows = one_metric(pd.concat([rows_where(table, "task", name) for name in tasks]), metric)
    lines, metric = list(_lines(rows)), str(rows["metric"].iloc[0])
    check_few([name for name, _ in lines], "`task=`, or leave out rows of the table")
    ax = axes_for(ax, min(figure_width(ax) * 0.62, 3.5))
    ends = [draw_band(ax, line, "layer", quantity, name, place)
            for place, (name, line) in enumerate(lines)]  # fmt: skip
    if quantity == "selectivity":
        ax.axhline(0, color="0.7", linewidth=0.6, zorder=0)
    elif len(tasks) == 1:
        ends += _draw_controls(ax, lines, rows)
        ends += _draw_baselines(ax, rows, metric)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.margins(x=0.03)
    ax.set_xlabel("hidden state (0 = embeddings)")
    name = _NAMES.get(metric, metric.replace("_", " "))
    name = f"{name}: selectivity" if quantity == "selectivity" else name
    ax.set_ylabel(f"{tasks[0]}: {name}" if len(tasks) == 1 else name)
    label_ends(ax, ends)
    return ax


def learning_curves(
    curves: Any, *, task: str, layers: Sequence[int] | None = None, ax: Axes | None = None
) -> Axes:
    """Accuracy by the number of training sentences, with 95 % bands; dashed: control labels.

    Args:
        curves: table with columns task, layer, probe, sentences, value, ci_low, ci_high, control,
            and perhaps source.
        layers: the hidden states to draw (default: all).

    Raises:
        FigureError: a missing column, an unknown task or layer, or too many lines.
    """
    columns = ["task", "layer", "probe", "sentences", "value", "ci_low", "ci_high", "control"]
    rows = _of_model(rows_where(table_of(curves, columns), "task", task))
    if layers is not None:
        rows = pd.concat([rows_where(rows, "layer", layer) for layer in layers])
    several = rows["probe"].nunique() > 1
    groups = {
        f"{probe}, layer {layer:.0f}" if several else f"layer {layer:.0f}": group
        for (probe, layer), group in rows.groupby(["probe", "layer"], sort=False)
    }
    check_few(list(groups), "`layers=`")
    ax = axes_for(ax, min(figure_width(ax) * 0.62, 3.5))
    ax.set_xscale("log")
    ends = []
    for place, (name, group) in enumerate(groups.items()):
        check_one_row_each(group, ["sentences"])
        line = group.sort_values("sentences")
        ends.append(draw_band(ax, line, "sentences", "value", name, place))
        ax.plot(line["sentences"], line["control"], "--", color=PALETTE[place], marker="")
    known = rows.loc[rows["sentences"] == rows["sentences"].max(), "control"].dropna()
    if len(known):
        # One name: controls of different layers are near each other, and have their colours.
        ends.append(End(known.mean(), "control labels", "0.3"))
    sizes = sorted(rows["sentences"].unique())
    ax.set_xticks(sizes[::-2][::-1], [f"{size:,}" for size in sizes[::-2][::-1]])
    ax.minorticks_off()
    ax.set_xlabel("training sentences (log scale)")
    ax.set_ylabel(f"{task}: accuracy")
    label_ends(ax, ends)
    return ax


def one_metric(rows: pd.DataFrame, metric: str | None) -> pd.DataFrame:
    """The rows of one metric.

    Raises:
        FigureError: there is no such metric, or there are several and none is given.
    """
    if metric is not None:
        return rows_where(rows, "metric", metric)
    metrics = sorted(rows["metric"].unique())
    if len(metrics) > 1:
        raise FigureError(f"The task has several metrics, {metrics}: say which with `metric=`.")
    return rows


def model_probes(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of probes on the states of the model itself, baselines left out.

    Raises:
        FigureError: there are only baselines.
    """
    own = _of_model(rows[~rows["probe"].isin(BASELINES)])
    if own.empty:
        there = sorted(rows["probe"].unique())
        raise FigureError(f"The table has only baselines for this task ({there}), no probe.")
    return own


def _of_model(rows: pd.DataFrame) -> pd.DataFrame:
    if "source" not in rows:
        return rows
    return rows[rows["source"].isna() | (rows["source"] == "model")]


def _lines(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Name and rows by layer of each task's probes."""
    own = model_probes(rows)
    tasks, probes = own["task"].nunique(), own["probe"].nunique()
    for (task, probe), line in own.groupby(_KEYS, sort=False):
        check_one_row_each(line, ["layer"])
        several = f"{task}, {probe}" if probes > 1 else str(task)
        yield several if tasks > 1 else f"{probe} probe", line.sort_values("layer")


def _draw_controls(
    ax: Axes, lines: list[tuple[str, pd.DataFrame]], rows: pd.DataFrame
) -> Iterator[End]:
    """The same probes on control labels, and on states of other sources."""
    for place, (_, line) in enumerate(lines):
        probe, colour = line["probe"].iloc[0], PALETTE[place]
        known = line.dropna(subset="control")
        if len(known):
            ax.plot(known["layer"], known["control"], "--", color=colour, marker="")
            yield End(known["control"].iloc[-1], f"{probe}, control labels", colour)
        for source, (name, style) in _SOURCES.items() if "source" in rows else ():
            other = rows[(rows["source"] == source) & (rows["probe"] == probe)]
            if len(other):
                # There may be several random models.
                means = other.groupby("layer")["value"].mean()
                ax.plot(means.index, means, linestyle=style, color=colour, marker="")
                yield End(means.iloc[-1], f"{probe}, {name}", colour)


def _draw_baselines(ax: Axes, rows: pd.DataFrame, metric: str) -> Iterator[End]:
    """Dotted lines: level where the baseline is the same in every layer."""
    look: dict[str, Any] = {"color": "0.3", "linestyle": ":", "marker": ""}
    for probe, name in BASELINES.items():
        line = rows[rows["probe"] == probe].sort_values("layer")
        if line.empty:
            continue
        if line["value"].nunique() == 1:
            ax.axhline(line["value"].iloc[0], **look)
        else:
            ax.plot(line["layer"], line["value"], **look)
        yield End(line["value"].iloc[-1], name, "0.3")
    if metric == "compression":
        ax.axhline(1.0, **look)
        yield End(1.0, "uniform code", "0.3")
