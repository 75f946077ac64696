"""A predicted tree against that of a treebank, as arcs over and under the words."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Arc

from ..errors import FigureError
from .style import PALETTE, axes_for, axes_inches, figure_width, text_height

_RIGHT, _ONLY_GOLD, _ONLY_PREDICTED = PALETTE[2], PALETTE[0], PALETTE[5]
#: Free space over the highest and under the lowest arc, in words, as heights of arcs are.
_MARGIN = 0.8


def arcs(
    words: Sequence[str],
    gold: Sequence[int] | np.ndarray,
    predicted: Sequence[tuple[int, int]] | np.ndarray,
    *,
    ax: Axes | None = None,
) -> Axes:
    """The edges of the treebank over the words, and those of a structural probe under them.

    The words of a long sentence stand upright.
    Solid and thick: edges that both have; dashed: edges that only one has.

    Args:
        words: of one sentence.
        gold: index of the head of each word, -1 for the root.
        predicted: pairs of words, shape (edge, 2), in any order.

    Raises:
        FigureError: an edge between words that are not there, or heads and words that differ in
            number.
    """
    above, below = _edges(words, gold, predicted)
    heights = [max((end - start for start, end in edges), default=1) for edges in (above, below)]
    width = figure_width(ax)
    ax = axes_for(ax, min(0.85 * width, 0.8 + 0.13 * sum(heights) + 4 * text_height()))
    places, foot = _write(ax, words, heights)
    for edges, side, colour in ((above, 1, _ONLY_GOLD), (below, -1, _ONLY_PREDICTED)):
        for edge in sorted(edges):
            _arc(ax, places, edge, side * foot, colour, shared=edge in above & below)
    top = foot + heights[0] + _MARGIN
    for root in np.flatnonzero(np.asarray(gold) == -1):
        ax.plot([places[root]] * 2, [foot, top], color=_ONLY_GOLD, marker="")
        ax.text(places[root], top, " root", va="top", color=_ONLY_GOLD)
    ax.set_ylim(-foot - heights[1] - _MARGIN, top)
    ax.set_axis_off()
    hits = len(above & below)
    ax.set_title(
        f"above: treebank; below: predicted\nsolid: in both ({hits} of {len(above)} edges); "
        "dashed: in one",
        loc="left",
    )
    return ax


def _edges(
    words: Sequence[str], gold: Sequence[int] | np.ndarray, predicted: object
) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    """Both trees as pairs of words, the first word first."""
    heads, pairs = np.asarray(gold), np.asarray(predicted, dtype=int).reshape(-1, 2)
    if heads.shape != (len(words),) or not len(words):
        raise FigureError(f"{len(words)} words have {heads.size} heads; give one for each word.")
    above = np.stack([np.arange(len(words)), heads], axis=1)[heads >= 0]
    for name, edges in (("gold", above), ("predicted", pairs)):
        if ((edges < 0) | (edges >= len(words))).any() or (edges[:, 0] == edges[:, 1]).any():
            raise FigureError(
                f"The {name} edges join words that are not among the {len(words)} given, or a "
                "word with itself; words count from 0."
            )
    first, second = (
        {(int(min(pair)), int(max(pair))) for pair in edges} for edges in (above, pairs)
    )
    return first, second


def _write(ax: Axes, words: Sequence[str], heights: list[int]) -> tuple[np.ndarray, float]:
    """Write the words in a row, upright where they would not fit; their middles, and the foot
    of the arcs over them."""
    size, (width, height) = mpl.rcParams["font.size"], axes_inches(ax)
    room = 72 * width / size  # in letters as wide as high; most are half as wide
    lengths = np.array([len(word) for word in words]) / 2 + 1
    upright = lengths.sum() > room
    if upright:
        lengths, size = np.full(len(words), 1.2), min(size, 72 * width / (1.2 * len(words)))
    places = np.cumsum(lengths) - lengths / 2
    for place, word in zip(places, words, strict=True):
        ax.text(
            place, 0, word, ha="center", va="center" if upright else "center_baseline",
            rotation=90 if upright else 0, fontsize=size,
        )  # fmt: skip
    ax.set_xlim(0, lengths.sum())
    tall = size / 72 * (0.65 * max(len(word) for word in words) if upright else 1.6)
    # Both feet leave the height of the words free, whatever the scale of the arcs becomes.
    return places, tall / 2 * (sum(heights) + 2 * _MARGIN) / max(height - tall, 0.2)


def _arc(
    ax: Axes, places: np.ndarray, edge: tuple[int, int], foot: float, colour: str, *, shared: bool
) -> None:
    left, right = places[edge[0]], places[edge[1]]
    ax.add_patch(Arc(
        ((left + right) / 2, foot), right - left, 2 * (edge[1] - edge[0]),
        theta1=0 if foot > 0 else 180, theta2=180 if foot > 0 else 360,
        color=_RIGHT if shared else colour, linewidth=1.4 if shared else 0.9,
        linestyle="-" if shared else (0, (3, 1.5)),
    ))  # fmt: skip
