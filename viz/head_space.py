"""Heads laid out in the plane by the distances of their maps (Clark et al. 2019, figure 6)."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from ..errors import FigureError
from .checks import check_one_row_each, head_name, table_of
from .labels import label_points
from .style import MARKERS, PALETTE, SEQUENTIAL, axes_for, figure_width

#: What heads are told apart by.
BY = ("name", "layer", "cluster")
#: Heads that no rule names (see `probing.heads.clusters.head_names`).
_UNNAMED = "other"


def head_space(clusters: Any, *, by: str = "name", label: int = 6, ax: Axes | None = None) -> Axes:
    """One mark a head; distances between marks stand for distances between maps.

    Args:
        clusters: `clusters` of `HeadAnalysis`, or a table with columns layer, head, x, y, cluster,
            name.
        by: what colours and shapes mean: `name`, `layer` (light to dark) or `cluster`.
        label: how many heads to name, those that lie furthest from all others first.

    Raises:
        FigureError: a missing column, two rows for a head, or another `by`.
    """
    if by not in BY:
        raise FigureError(f"by is {by!r}; it must be one of {', '.join(BY)}.")
    table = table_of(
        getattr(clusters, "clusters", getattr(clusters, "heads", clusters)),
        ["layer", "head", "x", "y", "cluster", "name"],
    )
    check_one_row_each(table, ["layer", "head"])
    side = min(figure_width(ax) * 0.9, 4.5)
    ax = axes_for(ax, side)
    for place, (group, rows) in enumerate(_groups(table, by)):
        shade = SEQUENTIAL(0.25 + 0.75 * place / max(1, table["layer"].nunique() - 1))
        ax.scatter(
            rows["x"],
            rows["y"],
            s=16,
            marker=MARKERS[place % len(MARKERS)],
            color=shade if by == "layer" else _colour(str(group), place),
            linewidths=0,
            label=f"{by} {group}" if by != "name" else str(group),
        )
    ax.set_aspect("equal", adjustable="datalim")
    # Places have no unit and no origin: only distances mean something.
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    ax.set_xlabel("distances: Jensen–Shannon, by metric scaling")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2, alignment="left")
    lonely = _by_loneliness(table).head(label)
    names = [head_name(*head) for head in zip(lonely["layer"], lonely["head"], strict=True)]
    label_points(ax, table[["x", "y"]].to_numpy(), lonely[["x", "y"]].to_numpy(), names)
    return ax


def _groups(table: pd.DataFrame, by: str) -> list[tuple[object, pd.DataFrame]]:
    if by != "name":
        return list(table.groupby(by))
    sizes = table["name"].value_counts().drop(_UNNAMED, errors="ignore")
    order = [*sizes.index, *([_UNNAMED] if (table["name"] == _UNNAMED).any() else [])]
    return [(name, table[table["name"] == name]) for name in order]


def _colour(group: str, place: int) -> str:
    return "0.7" if group == _UNNAMED else PALETTE[place % len(PALETTE)]


def _by_loneliness(table: pd.DataFrame) -> pd.DataFrame:
    """The heads, those furthest from their nearest neighbour first."""
    points = table[["x", "y"]].to_numpy()
    gaps = ((points[:, None] - points) ** 2).sum(-1)
    gaps[range(len(points)), range(len(points))] = float("inf")
    return table.assign(gap=gaps.min(1)).sort_values("gap", ascending=False, kind="stable")
