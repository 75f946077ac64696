"""Tokens as labels: nothing invisible, nothing parsed as mathematics, nothing too long."""

import unicodedata
from collections.abc import Iterable, Sequence

from matplotlib.text import Text

from .fonts import families_for

_LONGEST = 14
# Signs that the base font has; it lacks the control pictures of Unicode (U+2400 to U+2421).
_PICTURES = {" ": "␣", "\t": "⇥", "\n": "↵"}
# Marks that turn the reading direction of what follows; drawn, they would scramble the label.
_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def show_token(token: str, *, longest: int = _LONGEST) -> str:
    """A token as a label of at most `longest` characters, with nothing invisible in it.

    A space becomes ␣, a tab ⇥, a line break ↵, any other invisible character its code
    (⟨200B⟩), an empty token ∅; long tokens end in ….
    """
    if not token:
        return "∅"
    invisible_only = all(unicodedata.category(c) in ("Cf", "Mn", "Me") for c in token)
    return _shortened("".join(_visible(c, invisible_only) for c in token[: longest + 1]), longest)


def dress_labels(labels: Iterable[Text], families: Sequence[str]) -> None:
    """Draw labels as plain text (`$` is a dollar sign) in the given font families."""
    for label in labels:
        label.set_parse_math(False)
        label.set_fontfamily(list(families))


def shown_tokens(tokens: Sequence[str]) -> tuple[list[str], list[str]]:
    """Labels for the tokens and the font families that draw them."""
    labels = [show_token(token) for token in tokens]
    return labels, families_for(labels)


def _visible(character: str, invisible_only: bool) -> str:
    code, category = ord(character), unicodedata.category(character)
    if character in _PICTURES:
        return _PICTURES[character]
    hidden = category in ("Cc", "Zs", "Zl", "Zp", "Cs", "Cn", "Co") or character in _DIRECTION
    # A joiner inside an emoji or a Persian word is part of its shape and stays.
    if hidden or invisible_only:
        return f"⟨{code:04X}⟩"
    return character


def _shortened(label: str, longest: int) -> str:
    if len(label) <= longest:
        return label
    cut = longest - 1
    while cut > 1 and (unicodedata.category(label[cut])[0] == "M" or label[cut] == "\u200d"):
        cut -= 1  # keep a letter and its marks together
    return label[:cut] + "…"
