"""Text coloured by the scores of its words, for notebooks and web pages."""

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from .score_names import score_name
from .scored_text import SCALE, ScoredText, colours_of, scored_text, signed, wrapped
from .tokens import show_token

#: Coloured words of all rows together: more would make a page of megabytes.
MOST_CELLS = 4000
_LONGEST = 40
_LINE = 64.0  # width of a line, in characters
_TABLE = "border-collapse:separate;border-spacing:1px;margin:0 0 .6em;font:inherit"
_NAME = "text-align:right;font-weight:normal;padding:.1em .5em;white-space:nowrap"


class Html(str):
    """HTML that notebooks show as such."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return str(self)


def text_scores_html(
    explanation: Any, *, example: int = 0, scores: Sequence[str] | None = None
) -> Html:
    """The HTML twin of `text_scores`: the same rows and colours, every number as a tooltip.

    A fragment in ASCII that needs nothing else. Everything from the table is escaped; words are
    cut to 40 characters, and the text where all rows together have 4,000 coloured words.

    Args:
        explanation, example, scores: see `text_scores`.

    Raises:
        FigureError: see `text_scores`.
    """
    text = scored_text(explanation, example, scores)
    shares, most = text.shares(), max(1, MOST_CELLS // len(text.scores))
    words = [show_token(word, longest=_LONGEST) for word in text.words[:most]]
    parts = ['<div style="font:14px/1.4 sans-serif;overflow-x:auto">']
    for line in wrapped([len(word) + 1.0 for word in words], _LINE):
        parts.append(f'<table style="{_TABLE}">')
        parts += [_row(text, row, words, shares, line) for row in range(len(text.scores))]
        parts.append("</table>")
    if len(text.words) > most:
        parts.append(f"<p>… and {len(text.words) - most:,} more words</p>")
    parts.append(f"<p>{_legend()} score divided by the largest of its row; underlined: negative")
    parts.append("</p></div>")
    # Without other characters a page is right in whatever encoding it is read.
    return Html("".join(parts).encode("ascii", "xmlcharrefreplace").decode("ascii"))


def _row(text: ScoredText, row: int, words: Sequence[str], shares: np.ndarray, line: range) -> str:
    name, largest = score_name(text.scores[row]), text.largest()[row]
    title = escape(f"{text.scores[row]}: largest absolute value {largest:.4g}")
    cells = [
        _cell("td", words[k], shares[row, k], f"{name}: {_tip(text.values[row, k])}") for k in line
    ]
    return f'<tr><th scope="row" style="{_NAME}" title="{title}">{escape(name)}</th>' + (
        f"{''.join(cells)}</tr>"
    )


def _cell(tag: str, label: str, share: float, title: str) -> str:
    background, colour = colours_of(share)
    line = ";text-decoration:underline" if share < 0 else ""
    return (
        f'<{tag} dir="auto" title="{escape(title)}" style="background:{background};'
        f'color:{colour};padding:.1em .3em;white-space:pre{line}">{escape(label)}</{tag}>'
    )


def _tip(value: float) -> str:
    return "no score" if np.isnan(value) else signed(value)


def _legend() -> str:
    return "".join(_cell("span", signed(share), share, "scale") for share in SCALE)
