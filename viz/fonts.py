"""Fonts for tokens of any script: what is installed, what it covers, what to install.

matplotlib falls back character by character along a list of families. The list is made from the
characters at hand, with TrueType outlines first: matplotlib embeds PostScript outlines (CFF, such
as Noto Sans CJK) in a PDF under a TrueType label, and checkers used by publishers object to that.
"""

import re
import unicodedata
import warnings
from collections.abc import Iterable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.font_manager import FontEntry, fontManager
from matplotlib.ft2font import FT2Font

BASE = "DejaVu Sans"  # comes with matplotlib, so figures look the same on every machine

_PREFERRED = (
    "WenQuanYi Zen Hei",
    "Noto Sans Devanagari",
    "Noto Sans Arabic",
    "Noto Sans Hebrew",
    "Noto Emoji",
    "Symbola",
    "Noto Sans CJK SC",
)
# Fonts whose character table does not say what the glyphs look like.
_NOT_FOR_TEXT = re.compile(r"cm[a-z]+\d+$|STIX|Last ?Resort|DejaVu \w+ Display")

_PACKAGES = {
    "CJK": "fonts-wqy-zenhei",
    "HIRAGANA": "fonts-wqy-zenhei",
    "KATAKANA": "fonts-wqy-zenhei",
    "HANGUL": "fonts-wqy-zenhei",
    "BOPOMOFO": "fonts-wqy-zenhei",
    "IDEOGRAPHIC": "fonts-wqy-zenhei",
    "FULLWIDTH": "fonts-wqy-zenhei",
    "EMOJI": "fonts-symbola",
}


class FontWarning(UserWarning):
    """Text that will not appear in print as it should, and the package that helps."""


def default_families() -> list[str]:
    """The font families of `style`: DejaVu Sans, then installed ones for other scripts."""
    installed = _regular_fonts()
    return [BASE, *(name for name in _PREFERRED if name in installed)]


def families_for(texts: Iterable[str]) -> list[str]:
    """Font families that together draw every character of the texts, as far as installed.

    Starts from the current `font.family` and adds installed fonts until nothing is missing.
    Gives one `FontWarning` for the characters that no installed font has.
    """
    families = _current_families()
    missing = _drawn(texts) - _covered(families)
    for name in _candidates() if missing else ():
        if found := missing & _characters(name):
            families.append(name)
            missing -= found
        if not missing:
            break
    if missing:
        _warn_once(
            f"No installed font has {_listed(missing)}, which will be drawn as boxes. "
            f"Install {_packages(missing)} (Debian and Ubuntu package names), "
            "then start Python again."
        )
    return families


def warn_about_embedding(texts: dict[str, list[str]]) -> None:
    """One `FontWarning` if characters would be embedded in a PDF as PostScript outlines.

    Args:
        texts: each text to be drawn, with the font families it is drawn in.
    """
    affected: set[str] = set()
    fonts: set[str] = set()
    for text, families in texts.items():
        names = _installed(families)
        for character in _drawn([text]):
            font = next((name for name in names if character in _characters(name)), None)
            if font is not None and _is_postscript(font):
                affected.add(character)
                fonts.add(font)
    if affected:
        _warn_once(
            f"{_listed(affected)} can only be drawn in {' and '.join(sorted(fonts))}, whose "
            "outlines are PostScript: the PDF shows them, but a publisher's font check may "
            f"refuse it. Install {_packages(affected)} (TrueType outlines; Debian and Ubuntu "
            "package names), then start Python again."
        )


@lru_cache(maxsize=256)
def _warn_once(message: str) -> None:
    """A missing font is missing in every figure of a report; saying it once is enough."""
    warnings.warn(message, FontWarning, stacklevel=4)


def _drawn(texts: Iterable[str]) -> set[str]:
    """The characters that need a glyph: not spaces, controls, joiners, variation selectors."""
    characters = set().union(*map(set, texts))
    return {
        c
        for c in characters
        if unicodedata.category(c) not in ("Cc", "Cf", "Zs", "Zl", "Zp")
        and not "\ufe00" <= c <= "\ufe0f"
    }


def _current_families() -> list[str]:
    return _installed(mpl.rcParams["font.family"]) or [BASE]


def _installed(families: Iterable[str]) -> list[str]:
    """Names of installed fonts; a generic name such as `sans-serif` becomes its first font."""
    parameters: Any = mpl.rcParams
    found: list[str] = []
    for family in families:
        names = parameters.get(f"font.{family}", [family])
        found += [name for name in names if name in _regular_fonts()][:1]
    return list(dict.fromkeys(found))


def _covered(families: Iterable[str]) -> set[str]:
    return set().union(*map(_characters, families))


@cache
def _regular_fonts() -> dict[str, FontEntry]:
    """The upright face nearest to regular weight of each installed family."""
    best: dict[str, FontEntry] = {}
    for entry in fontManager.ttflist:
        if entry.style != "normal" or _NOT_FOR_TEXT.match(entry.name):
            continue
        if entry.name not in best or _off_regular(entry) < _off_regular(best[entry.name]):
            best[entry.name] = entry
    return best


def _off_regular(entry: FontEntry) -> int:
    weight = entry.weight if isinstance(entry.weight, int) else 400
    return abs(weight - 400) + (1000 if entry.stretch != "normal" else 0)


@cache
def _candidates() -> list[str]:
    def order(name: str) -> tuple[bool, bool, bool, str]:
        plain = name.startswith("Noto Sans") or "Sans" in name
        return _is_postscript(name), name not in _PREFERRED, not plain, name

    return sorted(_regular_fonts(), key=order)


@cache
def _characters(family: str) -> frozenset[str]:
    entry = _regular_fonts()[family]
    # Before matplotlib 3.11 only the first face of a collection (.ttc) can be opened.
    index = getattr(entry, "index", 0)
    try:
        font = FT2Font(entry.fname, face_index=index) if index else FT2Font(entry.fname)
    except (OSError, RuntimeError):  # the font was removed since matplotlib listed it
        return frozenset()
    return frozenset(map(chr, font.get_charmap()))


@cache
def _is_postscript(family: str) -> bool:
    """Whether the outlines are CFF: the font, or its face in a collection, is tagged OTTO."""
    entry = _regular_fonts()[family]
    try:
        with Path(entry.fname).open("rb") as file:
            tag = file.read(4)
            if tag == b"ttcf":
                file.seek(12 + 4 * getattr(entry, "index", 0))
                file.seek(int.from_bytes(file.read(4), "big"))
                tag = file.read(4)
    except OSError:
        return False
    return tag == b"OTTO"


def _listed(characters: set[str]) -> str:
    shown = sorted(characters)[:3]
    names = ", ".join(f"{c} (U+{ord(c):04X} {unicodedata.name(c, 'unnamed')})" for c in shown)
    rest = len(characters) - len(shown)
    return names + (f" and {rest} more" if rest else "")


def _packages(characters: set[str]) -> str:
    return " and ".join(sorted({_package(c) for c in characters}))


def _package(character: str) -> str:
    if unicodedata.category(character) == "So" or ord(character) >= 0x1F000:
        script = "CJK" if 0x20000 <= ord(character) < 0x40000 else "EMOJI"
    else:
        script = unicodedata.name(character, "").split(" ")[0].split("-")[0]
    return _PACKAGES.get(script, "fonts-noto-core")
