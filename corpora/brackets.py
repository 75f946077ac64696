"""Mentions written as brackets: `(3` opens, `3)` closes, `(3)` does both; several in a cell."""

import re
from collections.abc import Callable, Sequence

from ..errors import CorpusError
from .text import Mention

_BRACKET = re.compile(r"\|?(?:\(([^()|]+)(\)?)|([^()|]+)\))")
#: CorefUD numbers the parts of a discontinuous mention: `e1[1/2]`.
_PART = re.compile(r"\[\d+/\d+\]$")


def mentions_in(
    cells: Sequence[str],
    named: Callable[[str], tuple[str, str]],
    fail: Callable[[int, str], CorpusError],
) -> tuple[Mention, ...]:
    """The mentions of a sentence, by start, the longer first.

    A closing bracket closes the last one opened of its entity. The parts of a discontinuous
    mention are mentions of the same entity.

    Args:
        cells: per word its brackets, an empty text where it has none.
        named: the entity and the kind that the text behind a bracket gives.
        fail: the error for a problem at a word.

    Raises:
        CorpusError: brackets that cannot be read, are never closed, or close what is not open.
    """
    found: list[Mention] = []
    opened: list[tuple[str, int, str]] = []
    for word, cell in enumerate(cells):
        place = 0
        while place < len(cell):
            bracket = _BRACKET.match(cell, place)
            if bracket is None:
                raise fail(
                    word,
                    f"{cell!r} holds no brackets of mentions; (1 opens, 1) closes, (1) does both",
                )
            place = bracket.end()
            entity, kind = named(bracket[1] or bracket[3])
            if bracket[1]:
                opened.append((entity, word, kind))
            if bracket[2] or bracket[3]:
                match = next((m for m in reversed(opened) if m[0] == entity), None)
                if match is None:
                    raise fail(word, f"Entity closes {entity!r}, which is not open here")
                opened.remove(match)
                found.append(Mention(_PART.sub("", entity), match[1], word + 1, match[2]))
    if opened:
        raise fail(opened[0][1], f"Entity {opened[0][0]!r} is never closed")
    return tuple(sorted(found, key=lambda m: (m.start, -m.end)))
