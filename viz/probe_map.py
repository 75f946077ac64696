"""All tasks at once: a score of a probe in every hidden state."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize, to_hex

from ..errors import FigureError
from .checks import check_one_row_each, rows_where, table_of
from .grids import around_zero, colour_bar, draw_cells, name_axes, sign_cells
from .probes import model_probes, one_metric
from .style import DIVERGING, SEQUENTIAL, axes_for, axes_inches, lightness, text_height

_QUANTITIES = ("value", "selectivity", "over_lookup")


def probe_map(
    probes: Any,
    *,
    probe: str | None = None,
    metric: str | None = None,
    quantity: str = "value",
    ax: Axes | None = None,
) -> Axes:
    """A score of every task in every hidden state: tasks down, hidden states across.

    A ring marks the layer that was chosen on held-out training data, where the result has `best`.

    Args:
        probes: result with columns task, layer, probe, metric and the quantity; perhaps source.
        probe, metric: needed only where the table has several.
        quantity: `value`, `selectivity` (over control labels) or `over_lookup`; of the last two,
            − marks what is below zero.

    Raises:
        FigureError: a missing column, an unknown probe, metric or quantity, or none where one is
            needed.
    """
    if quantity not in _QUANTITIES:
        raise FigureError(f"quantity is {quantity!r}; choose one of {', '.join(_QUANTITIES)}.")
    table = table_of(probes, ["task", "layer", "probe", "metric", quantity])
    rows = _one_probe(one_metric(model_probes(table), metric), probe)
    check_one_row_each(rows, ["task", "layer"])
    rows = rows.astype({"layer": int})  # baselines, which have none, may have made them floats
    grid = rows.pivot(index="task", columns="layer", values=quantity)
    grid = grid.loc[list(dict.fromkeys(rows["task"]))]
    ax = axes_for(ax, max(1.6, 0.9 + len(grid) * text_height() * 1.3))
    name = str(rows["metric"].iloc[0]).replace("_", " ")
    if quantity == "value":
        # Not from 0: where all scores are high, layers could not be told apart.
        low, high = np.nanmin(grid.astype(float)), np.nanmax(grid.astype(float))
        norm: Normalize = Normalize(np.floor(low * 10) / 10, np.ceil(high * 10) / 10)
        mesh = draw_cells(ax, grid, SEQUENTIAL, norm)
    else:
        norm = around_zero(grid)
        mesh = draw_cells(ax, grid, DIVERGING, norm)
        sign_cells(ax, grid, grid.to_numpy(dtype=float) < 0)
        name = "selectivity" if quantity == "selectivity" else "over type lookup"
    best = getattr(probes, "best", None)
    if best is not None and len(best):
        own = best[best["probe"] == rows["probe"].iloc[0]].drop_duplicates("task")
        _ring(ax, grid, own.set_index("task")["layer"], mesh)
    colour_bar(ax, mesh, name)
    ax.set_yticks(np.arange(len(grid)), [str(task) for task in grid.index])
    return name_axes(ax, "hidden state (0 = embeddings)", "")


def _one_probe(rows: pd.DataFrame, probe: str | None) -> pd.DataFrame:
    if probe is not None:
        return rows_where(rows, "probe", probe)
    probes = sorted(rows["probe"].unique())
    if len(probes) > 1:
        raise FigureError(f"The table has several probes, {probes}: say which with `probe=`.")
    return rows


def _ring(ax: Axes, grid: pd.DataFrame, chosen: pd.Series, mesh: QuadMesh) -> None:
    """A ring in the cell of the chosen layer of each task, black or white by what it lies on."""
    width, height = axes_inches(ax)
    size = 72 * min(0.5 * height / len(grid), 0.5 * width / grid.shape[1], 0.1)
    for row, task in enumerate(grid.index):
        if task not in chosen.index or chosen[task] not in grid.columns:
            continue
        column = list(grid.columns).index(chosen[task])
        below = to_hex(tuple(mesh.to_rgba(grid.loc[task, chosen[task]])))
        ax.plot(
            column, row, "o", markersize=size, mfc="none",
            mec="white" if lightness(below) < 50 else "black",
        )  # fmt: skip
    ax.set_title("ring: layer chosen on held-out training data")
