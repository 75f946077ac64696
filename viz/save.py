"""Writing a figure for print and for the web: PDF, SVG and PNG, the same bytes every time."""

import warnings
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from ..errors import FigureError
from .fonts import warn_about_embedding
from .style import EXPORT, figure_of, settings

# No dates, so that a figure drawn again is the same file; images inside PDF and SVG (the page of
# all heads) get print resolution, lines and text have none.
_FORMATS: dict[str, dict[str, Any]] = {
    "pdf": {"dpi": 300, "metadata": {"CreationDate": None}},
    "svg": {"dpi": 300, "metadata": {"Date": None}},
    "png": {"dpi": 200},
}


def save(figure: Figure | Axes, path: str | Path) -> list[Path]:
    """Write `path.pdf`, `path.svg` and `path.png` at the figure's exact width.

    Fonts are embedded as TrueType, the text of the SVG stays text, the PNG has 200 dpi.

    Args:
        figure: a figure, or the axes that a figure function returned.
        path: file name without suffix; its folder is made if need be.

    Raises:
        FigureError: something other than a figure or axes, or a path with a suffix.
    """
    whole = figure_of(figure) if isinstance(figure, Axes) else figure
    if not isinstance(whole, Figure):
        raise FigureError(
            f"Cannot save a {type(figure).__name__}: expected a figure, or the axes that a "
            "figure function returned."
        )
    base = Path(path)
    if base.suffix[1:].lower() in _FORMATS:
        raise FigureError(
            f"{base} has a suffix, but three files are written: give "
            f"{base.with_suffix('')} to get {', '.join(_FORMATS)}."
        )
    base.parent.mkdir(parents=True, exist_ok=True)
    warn_about_embedding(_texts(whole))
    written = []
    for suffix, options in _FORMATS.items():
        target = base.with_name(f"{base.name}.{suffix}")
        with settings(EXPORT), warnings.catch_warnings():
            # The figure functions have said which fonts are missing, once and with a remedy.
            warnings.filterwarnings("ignore", message=r"Glyph \d+ .*missing from")
            whole.savefig(target, format=suffix, **options)
        written.append(target)
    return written


def _texts(figure: Figure) -> dict[str, list[str]]:
    return {t.get_text(): t.get_fontfamily() for t in figure.findobj(Text) if t.get_visible()}
