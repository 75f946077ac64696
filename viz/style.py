"""The look of the figures: exact widths, readable print, colours that survive grey.

The palette is Okabe and Ito's (2008) eight colours for all kinds of colour vision, ordered so
that neighbours differ in lightness; every figure also tells its categories apart by marker or
line, so it can be printed in black and white.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_hex, to_rgb
from matplotlib.figure import Figure

from ..errors import FigureError
from .fonts import default_families

PALETTE = (
    "#0072B2",  # blue
    "#E69F00",  # orange
    "#000000",  # black
    "#009E73",  # green
    "#56B4E9",  # sky blue
    "#D55E00",  # vermilion
    "#F0E442",  # yellow
    "#CC79A7",  # purple
)
MARKERS = ("o", "s", "^", "D", "v", ">", "*", "X")
DIVERGING = "RdBu_r"  # white at zero; figures mark the sign of dark cells as well
MISSING = "0.85"  # grey of a cell that the table has no row for


def lightness(colour: str) -> float:
    """CIE lightness L* of a colour: 0 is black, 100 white; what is left of it in grey print."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return 116 * luminance ** (1 / 3) - 16 if luminance > 0.008856 else 903.3 * luminance


def colour_at(colours: Colormap, place: float) -> str:
    """The colour of a map at a place from 0 to 1."""
    red, green, blue, _ = colours(place)
    return to_hex((red, green, blue))


def text_on(background: str) -> str:
    """The colour of text that can be read on a background."""
    return "#ffffff" if lightness(background) < 55 else "#000000"


def _light_to_dark(*colours: str) -> LinearSegmentedColormap:
    """Colours placed by their lightness, so that equal steps of a value look equal."""
    levels = [lightness(colour) for colour in colours]
    places = [(levels[0] - level) / (levels[0] - levels[-1]) for level in levels]
    return LinearSegmentedColormap.from_list("bertology", list(zip(places, colours, strict=True)))


# White is nothing, more ink is more.
SEQUENTIAL = _light_to_dark("#FFFFFF", "#56B4E9", "#0072B2", "#001B33")

# The width of a column and of the text in the ACL style (7.7 cm and 16 cm); a figure made for it
# also fits ICML, NeurIPS, AAAI and IEEE pages unscaled.
_WIDTHS = {
    ("paper", 1): 7.7 / 2.54,
    ("paper", 2): 16 / 2.54,
    ("screen", 1): 6.0,
    ("screen", 2): 10.0,
}
_SIZES = {"paper": 7.0, "screen": 10.0}

EXPORT: dict[str, Any] = {
    "pdf.fonttype": 42,  # whole TrueType fonts: publishers refuse Type 3
    "ps.fonttype": 42,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "bertology",  # same figure, same bytes
    "savefig.bbox": None,  # "tight" would change the width
    "text.usetex": False,  # tokens are not TeX
}


@contextmanager
def style(name: str = "paper", *, columns: int = 1) -> Iterator[None]:
    """Draw in the look of a paper, or of a notebook or web page, inside a `with` block.

    Sets the width of new figures (paper: 7.7 or 16 cm; screen: 6 or 10 inches), font sizes
    (7 or 10 pt), fonts, colours and file settings; afterwards restores exactly what it set.

    Raises:
        FigureError: an unknown name or number of columns.
    """
    if (name, columns) not in _WIDTHS:
        raise FigureError(
            f"There is no style {name!r} with columns={columns!r}; "
            "choose 'paper' or 'screen' with columns 1 or 2."
        )
    with settings(_look(_WIDTHS[name, columns], _SIZES[name]) | EXPORT):
        yield


@contextmanager
def settings(values: Mapping[str, Any]) -> Iterator[None]:
    """Set these rcParams inside a `with` block and restore them, and only them, after it."""
    parameters: Any = mpl.rcParams  # typed as a fixed list of keys, which `values` is not
    before = {key: parameters[key] for key in values}
    try:
        parameters.update(values)
        yield
    finally:
        parameters.update(before)


def axes_for(ax: Axes | None, height: float) -> Axes:
    """The axes given, or new ones in a figure of the style's width and this height (inches)."""
    if ax is not None:
        return ax
    width = mpl.rcParams["figure.figsize"][0]
    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def figure_of(ax: Axes) -> Figure:
    """The whole figure, also where the axes lie in a part of it.

    Raises:
        FigureError: the axes were removed from their figure.
    """
    figure = ax.figure
    if figure is None:
        raise FigureError("These axes were removed from their figure; draw on others.")
    return figure if isinstance(figure, Figure) else figure.figure


def figure_width(ax: Axes | None) -> float:
    """Width in inches of the figure that the axes are in, or would get."""
    return mpl.rcParams["figure.figsize"][0] if ax is None else figure_of(ax).get_figwidth()


def axes_inches(ax: Axes) -> tuple[float, float]:
    """Width and height of the axes, before the layout makes room for what is around them."""
    box, figure = ax.get_position(), figure_of(ax)
    return box.width * figure.get_figwidth(), box.height * figure.get_figheight()


def text_height() -> float:
    """Height of a line of text in inches, with its spacing."""
    return mpl.rcParams["font.size"] * 1.35 / 72


def _look(width: float, size: float) -> dict[str, Any]:
    return {
        "figure.figsize": (width, width * 0.75),
        "figure.constrained_layout.use": True,
        "figure.dpi": 150.0,
        "font.family": default_families(),
        "font.size": size,
        "axes.titlesize": size,
        "axes.labelsize": size,
        "xtick.labelsize": size,
        "ytick.labelsize": size,
        "legend.fontsize": size,
        "legend.title_fontsize": size,
        "legend.frameon": False,
        "legend.handletextpad": 0.4,
        "legend.columnspacing": 1.0,
        "axes.linewidth": 0.6,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.major.size": 2.5,
        "ytick.major.size": 2.5,
        "lines.linewidth": 1.1,
        "lines.markersize": 3.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.prop_cycle": cycler(color=PALETTE) + cycler(marker=MARKERS),
    }
