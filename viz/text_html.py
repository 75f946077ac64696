"""Text coloured by the scores of its words, for notebooks and web pages."""

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from .score_names import score_name
from .scored_text import SCALE, colours_of, scored_text, signed, wrapped
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

    A fragment in ASCII that needs nothing else. Everything from the table is escaped; words and
    names of scores are cut to 40 characters, and the text where its rows have 4,000 words in all.

    Args:
        explanation, example, scores: see `text_scores`.

    Raises:
        FigureError: see `text_scores`.
    """
    text = scored_text(explanation, example, scores)
    most = max(1, MOST_CELLS // len(text.scores))
    words = [show_token(word, longest=_LONGEST) for word in text.words[:most]]
    names = [score_name(name)[:_LONGEST] for name in text.scores]
    heads = [_head(name, size) for name, size in zip(names, text.largest(), strict=True)]
    rows = [
        [_cell("td", word, share, f"{name}: {_number(value)}")
         for word, share, value in zip(words, shares, values, strict=False)]
        for name, shares, values in zip(names, text.shares(), text.values, strict=True)
    ]  # fmt: skip
    parts = ['<div style="font:14px/1.4 sans-serif;overflow-x:auto">']
    for line in wrapped([len(word) + 1.0 for word in words], _LINE):
        parts.append(f'<table style="{_TABLE}">')
        for head, cells in zip(heads, rows, strict=True):
            parts.append(f"<tr>{head}{''.join(cells[line.start : line.stop])}</tr>")
        parts.append("</table>")
    if len(text.words) > most:
        parts.append(f"<p>… and {len(text.words) - most:,} more words</p>")
    scale = "".join(_cell("span", signed(share), share, "scale") for share in SCALE)
    parts.append(f"<p>{scale} score divided by the largest of its row; underlined: negative</p>")
    parts.append("</div>")
    # Without other characters a page is right in whatever encoding it is read.
    return Html("".join(parts).encode("ascii", "xmlcharrefreplace").decode("ascii"))


def _head(name: str, largest: float) -> str:
    title = f"largest absolute value {largest:.4g}"
    return f'<th scope="row" style="{_NAME}" title="{title}">{escape(name)}</th>'


def _cell(tag: str, label: str, share: float, title: str) -> str:
    background, colour = colours_of(share)
    line = ";text-decoration:underline" if share < 0 else ""
    return (
        f'<{tag} dir="auto" title="{escape(title)}" style="background:{background};'
        f'color:{colour};padding:.1em .3em;white-space:pre{line}">{escape(label)}</{tag}>'
    )


def _number(value: float) -> str:
    return "no score" if np.isnan(value) else signed(value)
