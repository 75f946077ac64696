"""A text with the scores of its words, as the figure and the HTML of it are made from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_hex

from .checks import check_one_row_each, rows_where, table_of
from .style import DIVERGING, MISSING, colour_at, text_on

#: Stands where words without a score (masked words, special tokens) lie between two others.
GAP = "…"
#: The shares that the legend shows.
SCALE = (-1.0, -0.5, 0.0, 0.5, 1.0)

_COLOURS = mpl.colormaps[DIVERGING]


@dataclass(frozen=True)
class ScoredText:
    """The words of one text, with a row of scores for each method."""

    words: tuple[str, ...]
    scores: tuple[str, ...]
    values: np.ndarray
    """(score, word), NaN at gaps."""

    def largest(self) -> np.ndarray:
        """(score,) the largest absolute value of each row, 0 where it has none."""
        return np.nan_to_num(np.abs(self.values)).max(axis=1)

    def shares(self) -> np.ndarray:
        """(score, word) values divided by the largest of their row: scores differ in unit."""
        largest = self.largest()[:, None]
        return np.divide(self.values, largest, out=self.values * 0.0, where=largest > 0)

    def head(self, words: int) -> "ScoredText":
        """The first words; the rows keep the values they have."""
        return ScoredText(self.words[:words], self.scores, self.values[:, :words])


def scored_text(explanation: Any, example: int, scores: Sequence[str] | None) -> ScoredText:
    """One example of the table of scores.

    Args:
        explanation: result with `scores`, or that table: columns example, index, word, score,
            value.
        scores: the rows, in this order; all of the example's unless given.

    Raises:
        FigureError: a missing column, an example or score that the table does not have, or two
            scores of one name for a word.
    """
    columns = ["example", "index", "word", "score", "value"]
    table = table_of(getattr(explanation, "scores", explanation), columns)
    own = rows_where(table, "example", example)
    check_one_row_each(own, ["score", "index"])
    names = list(dict.fromkeys(own["score"])) if scores is None else list(scores)
    for name in names:
        rows_where(own, "score", name)
    word = own.drop_duplicates("index").set_index("index")["word"].sort_index()
    grid = own.pivot(index="score", columns="index", values="value").loc[names, word.index]
    gaps = np.flatnonzero(np.diff(word.index) > 1) + 1
    return ScoredText(
        tuple(np.insert(word.to_numpy(dtype=object), gaps, GAP)),
        tuple(names),
        np.insert(grid.to_numpy(dtype=float), gaps, np.nan, axis=1),
    )


def colours_of(share: float) -> tuple[str, str]:
    """Background and text colour of a share from −1 (blue) to 1 (red); white is 0, grey none."""
    background = to_hex(MISSING) if np.isnan(share) else colour_at(_COLOURS, (share + 1) / 2)
    return background, text_on(background)


def wrapped(widths: Sequence[float], room: float) -> list[range]:
    """Words into lines of at most `room`; a word that is wider has a line of its own."""
    lines, start, used = [], 0, 0.0
    for place, width in enumerate(widths):
        if place > start and used + width > room:
            lines.append(range(start, place))
            start, used = place, 0.0
        used += width
    return [*lines, range(start, len(widths))]


def signed(value: float) -> str:
    """A number with its sign, to four digits."""
    return f"{value:+.4g}".replace("-", "−") if value else "0"
