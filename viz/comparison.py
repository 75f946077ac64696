"""Two models compared: their heads, and their hidden states."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from .checks import check_one_row_each, layer_by_head, rows_where, table_of
from .grids import colour_bar, draw_cells, grid_height, name_axes, sign_cells
from .style import SEQUENTIAL, axes_for, figure_width, text_height

_NAMES = {
    "cosine": "cosine of maps",
    "cosine_padded": "cosine of padded maps",
    "jsd": "divergence of maps (nats)",
    "cka": "CKA (unbiased)",
    "rsa": "RSA (Spearman)",
}


def comparison_map(comparison: Any, *, measure: str = "cosine", ax: Axes | None = None) -> Axes:
    """How alike heads of the same number are in two models: layers down, heads across.

    − marks heads that are no more alike than maps of different sentences are: the interval of
    their difference from that null reaches 0.

    Args:
        comparison: result with columns layer, head, measure, mean, difference_low,
            difference_high.
        measure: `cosine`, `cosine_padded` or `jsd`.

    Raises:
        FigureError: a missing column, or a measure that the table does not have.
    """
    columns = ["layer", "head", "measure", "mean", "difference_low", "difference_high"]
    rows = rows_where(table_of(comparison, columns), "measure", measure)
    grid = layer_by_head(rows, "mean")
    height = grid_height(*grid.shape, figure_width(ax), beside=1.0) + 2 * text_height()
    ax = axes_for(ax, height)
    mesh = draw_cells(ax, grid, SEQUENTIAL, Normalize(0.0, max(1e-9, float(np.nanmax(grid)))))
    unlike = (
        -layer_by_head(rows, "difference_high")
        if measure == "jsd"
        else layer_by_head(rows, "difference_low")
    ).to_numpy(dtype=float)
    sign_cells(ax, -grid, unlike <= 0)
    ax.set_title("−: no more alike than different sentences")
    colour_bar(ax, mesh, _NAMES.get(measure, measure))
    return name_axes(ax, "head", "layer")


def representation_map(comparison: Any, *, measure: str = "cka", ax: Axes | None = None) -> Axes:
    """How alike the hidden states of two models are: states of the first down, of the second
    across; 0 is the embeddings.

    Args:
        comparison: result with `representations`, or that table: columns layer, other_layer,
            measure, value.
        measure: `cka` or `rsa`.

    Raises:
        FigureError: a missing column, a measure that the table does not have, or two rows for a
            pair of layers.
    """
    table = table_of(
        getattr(comparison, "representations", comparison),
        ["layer", "other_layer", "measure", "value"],
    )
    rows = rows_where(table, "measure", measure)
    check_one_row_each(rows, ["layer", "other_layer"])
    grid = rows.pivot(index="layer", columns="other_layer", values="value")
    height = grid_height(*grid.shape, figure_width(ax), beside=1.0) + text_height()
    ax = axes_for(ax, height)
    low = min(0.0, float(np.nanmin(grid)))
    mesh = draw_cells(ax, grid, SEQUENTIAL, Normalize(low, max(1e-9, float(np.nanmax(grid)))))
    colour_bar(ax, mesh, _NAMES.get(measure, measure))
    return name_axes(ax, "hidden state of the second model", "hidden state of the first")
