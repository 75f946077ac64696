"""Lines with bands that are named at their right ends."""

from dataclasses import dataclass

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes

from ..errors import FigureError
from .style import MARKERS, PALETTE, axes_inches


@dataclass(frozen=True)
class End:
    """The right end of a line, and what to write there."""

    y: float
    name: str
    colour: str


def draw_band(ax: Axes, rows: pd.DataFrame, x: str, value: str, name: str, place: int) -> End:
    """A line with its 95 % band; rows are in order of `x`.

    Args:
        value: the column that is drawn; the band is that of `ci_low` and `ci_high`, or of
            `selectivity_ci_low` and `selectivity_ci_high`.
        place: how many lines the figure has before this one.
    """
    prefix = "" if value in ("value", "mean") else f"{value}_"
    low, high, colour = rows[f"{prefix}ci_low"], rows[f"{prefix}ci_high"], PALETTE[place]
    ax.fill_between(rows[x], low, high, color=colour, alpha=0.2, linewidth=0)
    ax.plot(rows[x], rows[value], color=colour, marker=MARKERS[place], label=name)
    return End(rows[value].iloc[-1], name, colour)


def draw_reference(
    ax: Axes, rows: pd.DataFrame, x: str, value: str, name: str, dashes: str
) -> None:
    """What lines are read against: a grey line over the grey area of its `ci_low` and `ci_high`."""
    ax.fill_between(rows[x], rows["ci_low"], rows["ci_high"], color="0.85", linewidth=0, zorder=0)
    ax.plot(rows[x], rows[value], dashes, color="0.4", marker="", label=name)


def check_few(names: list[str], choose: str, what: str = "lines") -> None:
    """Refuse more lines, or whatever has a marker each, than can be told apart.

    Raises:
        FigureError: naming what to choose.
    """
    if len(names) > len(MARKERS):
        raise FigureError(
            f"{len(names)} {what} cannot be told apart in one figure, only {len(MARKERS)}; "
            f"choose with {choose}."
        )


def label_ends(ax: Axes, ends: list[End]) -> None:
    """Name each line at its right end, moving names apart where they would overlap."""
    low, high = ax.get_ylim()
    ax.set_ylim(low, high)
    gap = 1.25 * mpl.rcParams["font.size"] / 72 / axes_inches(ax)[1] * (high - low)
    ends = sorted(ends, key=lambda end: (end.y, end.name))
    for y, end in zip(spread([end.y for end in ends], gap), ends, strict=True):
        ax.text(
            1.01, y, end.name, color=end.colour, transform=ax.get_yaxis_transform(),
            va="center_baseline",
        )  # fmt: skip


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
