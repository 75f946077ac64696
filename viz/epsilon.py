"""How far attention can move while the output stays: ε-curves of the counterfactual search."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ..errors import FigureError
from .checks import check_one_row_each, rows_where, table_of
from .lines import End, check_few, draw_band, label_ends
from .style import PALETTE, axes_for, figure_width

_COLUMNS = ["epsilon", "mean", "ci_low", "ci_high"]
_LIMIT = float(np.log(2))
_NAMES = {"jsd": "JSD of attention", "read_jsd": "JSD of the attention of the position read"}


def epsilon_curves(
    curves: Any,
    *,
    statistic: str = "jsd",
    seeds: Sequence[float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The farthest attention found within each ε of the output (mean, 95 % band), up to ln 2.

    Dashed: what was reached with the output free. Hatched: the middle half of the divergences
    between models of other seeds, whose output differs too.

    Args:
        curves: result with `epsilon_curve`, or such a table: columns epsilon, mean, ci_low,
            ci_high; of layers also layer, statistic, bound.
        statistic: `jsd` or `read_jsd`, where the table has several.
        seeds: for each text, its divergence to the attention of models of other seeds (nats).

    Raises:
        FigureError: a missing column, an unknown statistic, two rows for an ε, or too many layers.
    """
    table = table_of(getattr(curves, "epsilon_curve", curves), _COLUMNS)
    rows = rows_where(table, "statistic", statistic) if "statistic" in table else table
    lines = epsilon_lines(rows)
    check_few(list(lines), "rows of the table")
    ax = axes_for(ax, min(figure_width(ax) * 0.62, 3.5))
    ax.set_xscale("log")
    ax.axhline(_LIMIT, color="0.3", linestyle=":", marker="")
    ends = [End(_LIMIT, "ln 2", "0.3")]
    if seeds is not None:
        low, middle, high = _quartiles(seeds)
        ax.axhspan(low, high, facecolor="0.95", edgecolor="0.7", hatch="////", linewidth=0,
                   zorder=-1)  # fmt: skip
        ends.append(End(middle, "other seeds", "0.3"))
    for place, (name, line) in enumerate(lines.items()):
        ends.append(draw_band(ax, line, "epsilon", "mean", name, place))
        if "bound" in line:
            ax.plot(line["epsilon"], line["bound"], "--", color=PALETTE[place], marker="")
    places = np.unique(rows["epsilon"])
    ax.set_xticks(places, [f"{epsilon:g}" for epsilon in places])
    ax.minorticks_off()
    ax.set_ylim(0, 1.04 * _LIMIT)
    ax.set_xlabel("ε: how far the output may move (TVD, log scale)")
    ax.set_ylabel(f"{_NAMES.get(statistic, statistic)} (nats)")
    label_ends(ax, ends)
    return ax


def epsilon_lines(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Name and rows by ε of each curve: one, or one a layer.

    Raises:
        FigureError: two rows for an ε, or an ε that is not positive.
    """
    if (rows["epsilon"] <= 0).any():
        raise FigureError("ε is drawn on a log scale; leave out rows whose epsilon is 0.")
    layers = rows["layer"] if "layer" in rows else pd.Series(pd.NA, index=rows.index)
    names = ["found" if pd.isna(layer) else f"layer {int(layer)}" for layer in layers]
    if len(set(names)) > 1:
        names = ["all layers" if name == "found" else name for name in names]
    lines = {}
    for name, line in rows.groupby(pd.Series(names, index=rows.index), sort=False):
        check_one_row_each(line, ["epsilon"])
        lines[str(name)] = line.sort_values("epsilon")
    return lines


def _quartiles(seeds: Sequence[float]) -> list[float]:
    found: list[float] = np.nanquantile(np.asarray(seeds, dtype=float), (0.25, 0.5, 0.75)).tolist()
    return found
