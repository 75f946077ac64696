"""Text coloured by the scores of its words, several methods as aligned rows."""

import warnings
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from .score_names import score_name
from .scored_text import SCALE, colours_of, scored_text, signed, wrapped
from .style import axes_for, axes_inches, figure_of, figure_width, text_height
from .tokens import dress_labels, shown_tokens

#: Longer texts are cut: they would not fit on a page.
MOST_WORDS = 300
_LEGEND = "score / (largest)"
_ROW = 1.25  # height of a row, in lines of text
_BETWEEN = 0.6  # space between lines of the text


def text_scores(
    explanation: Any,
    *,
    example: int = 0,
    scores: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The words of one example, coloured by each score: red raises the target, blue lowers it.

    Colours are shares of the largest absolute value of each row, which stands beside its name:
    scores differ in unit. Negative words are underlined, so that the sign survives grey print.
    `…` stands for words without a score, and for those after the 300th.

    Args:
        explanation: result with `scores`, or that table: columns example, index, word, score,
            value.
        example: its number in the table.
        scores: the rows, in this order; all of the example's unless given.

    Raises:
        FigureError: a missing column, an example or score that the table does not have, or two
            scores of one name for a word.
    """
    text = scored_text(explanation, example, scores)
    shares, cut = text.shares(), len(text.words) > MOST_WORDS
    labels, families = shown_tokens(text.head(MOST_WORDS).words)
    names = [
        f"{score_name(name)} ({largest:.2g})"
        for name, largest in zip(text.scores, text.largest(), strict=True)
    ]
    made = ax is None
    width = figure_width(ax) - 0.1 if ax is None else axes_inches(ax)[0]
    ax = axes_for(ax, 1.0)
    ax.axis("off")
    ax.set_xlim(0, width)
    pad = 0.45 * mpl.rcParams["font.size"] / 72
    margin = max(_widths(ax, [*names, _LEGEND], families)) + pad
    widths = [own + pad for own in _widths(ax, labels, families)]
    lines = wrapped(widths, width - margin)
    y = 0.0
    for line in lines:
        for row, name in enumerate(names):
            _write(ax, name, margin - pad, y, families, ha="right")
            _draw_row(ax, [labels[k] for k in line], [widths[k] for k in line],
                      shares[row, line.start : line.stop], margin, y, families)  # fmt: skip
            y += _ROW
        y += _BETWEEN
    if cut:
        rest = len(text.words) - MOST_WORDS
        _write(ax, f"… and {rest:,} more words", margin, y, families, ha="left")
        y += _ROW + _BETWEEN
    _write(ax, _LEGEND, margin - pad, y, families, ha="right")
    _draw_scale(ax, margin, y, width - margin, families)
    ax.set_ylim(y + _ROW / 2, -_ROW / 2)
    if made:
        figure_of(ax).set_figheight(0.1 + (y + _ROW) * text_height())
    return ax


def _draw_scale(ax: Axes, x: float, y: float, room: float, families: Sequence[str]) -> None:
    """The five shares of the legend, or three where there is no room for five."""
    wide = max(_widths(ax, [signed(share) for share in SCALE], families)) * 1.2
    shown = SCALE if wide * len(SCALE) <= room else SCALE[::2]
    marks = [signed(share) for share in shown]
    _draw_row(ax, marks, [wide] * len(marks), np.array(shown), x, y, families)


def _draw_row(
    ax: Axes,
    labels: Sequence[str],
    widths: Sequence[float],
    shares: np.ndarray,
    x: float,
    y: float,
    families: Sequence[str],
) -> None:
    for label, width, share in zip(labels, widths, shares, strict=True):
        background, colour = colours_of(share)
        ax.add_patch(
            Rectangle((x, y - _ROW / 2), width, _ROW, facecolor=background, edgecolor="white",
                      linewidth=0.4)
        )  # fmt: skip
        _write(ax, label, x + width / 2, y, families, ha="center", color=colour)
        if share < 0:
            ends = x + 0.12 * width, x + 0.88 * width
            ax.plot(ends, [y + 0.42 * _ROW] * 2, color=colour, linewidth=0.9, marker="")
        x += width


def _write(ax: Axes, label: str, x: float, y: float, families: Sequence[str], **look: Any) -> None:
    dress_labels([ax.text(x, y, label, va="center_baseline", **look)], families)


def _widths(ax: Axes, labels: Sequence[str], families: Sequence[str]) -> list[float]:
    """Width of each label in inches."""
    probe = ax.text(0, 0, "")
    dress_labels([probe], families)
    widths = []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .*missing from")  # said by then
        for label in labels:
            probe.set_text(label)
            widths.append(probe.get_window_extent().width / figure_of(ax).dpi)
    probe.remove()
    return widths
