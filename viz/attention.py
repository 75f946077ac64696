"""The attention of one sentence: one head as a map or as lines, all heads on one page."""

import math
from collections.abc import Sequence
from typing import Any
from unicodedata import east_asian_width

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb

from ..errors import FigureError
from .checks import head_name
from .style import PALETTE, SEQUENTIAL, axes_for, figure_of, figure_width, text_height
from .tokens import dress_labels, shown_tokens

_FAINTEST = 0.01  # lines of less weight could not be seen
_SMALLEST_TEXT = 4.5  # points


def attention_map(captured: Any, *, layer: int, head: int, ax: Axes | None = None) -> Axes:
    """One head as a map: each row is a token, its cells the attention it pays.

    Args:
        captured: has `attention` (layer, head, query, key), `tokens` and `layers`.

    Raises:
        FigureError: no attention captured, or a layer or head that is not there.
    """
    weights = head_weights(captured, layer, head)
    n = len(weights)
    labels, families = shown_tokens(_tokens_of(captured))
    # What the longest label and the colour bar leave is the side of the square.
    label = 0.6 * mpl.rcParams["font.size"] / 72 * max(map(len, labels))
    side = max(figure_width(ax) - label - 0.85, 0.5)
    ax = axes_for(ax, side + label + 0.4)
    edges = np.arange(n + 1) - 0.5
    mesh = ax.pcolormesh(edges, edges, weights, cmap=SEQUENTIAL, vmin=0, vmax=1)
    ax.set_ylim(n - 0.5, -0.5)
    ax.set_aspect("equal")
    _label_with_tokens(ax, labels, families, side / n)
    _colour_bar(ax, mesh, shrink=0.6)
    ax.set_xlabel("to (key)")
    ax.set_ylabel("from (query)")
    ax.set_title(head_name(layer, head))
    return ax


def attention_lines(captured: Any, *, layer: int, head: int, ax: Axes | None = None) -> Axes:
    """One head as lines from each token (left) to the tokens it attends to (right).

    The darker and wider a line, the more attention; weights below 0.01 are left out.

    Args:
        captured: has `attention` (layer, head, query, key), `tokens` and `layers`.

    Raises:
        FigureError: no attention captured, or a layer or head that is not there.
    """
    weights = head_weights(captured, layer, head)
    n = len(weights)
    ax = axes_for(ax, 0.4 + n * text_height() * 1.05)
    queries, keys = np.nonzero(weights >= _FAINTEST)
    strength = weights[queries, keys]
    ax.add_collection(
        LineCollection(
            [np.array([[0, query], [1, key]]) for query, key in zip(queries, keys, strict=True)],
            colors=[(*to_rgb(PALETTE[0]), min(weight, 1.0)) for weight in strength],
            linewidths=0.4 + 1.8 * strength,
            capstyle="round",
        )
    )
    labels, families = shown_tokens(_tokens_of(captured))
    for x, side in ((-0.03, "right"), (1.03, "left")):
        dress_labels(
            [ax.text(x, y, text, ha=side, va="center") for y, text in enumerate(labels)],
            families,
        )
    # A column of text is about as wide as a third of the figure at most.
    ax.set_xlim(-0.6, 1.6)
    ax.set_ylim(n - 0.4, -0.6)
    ax.set_axis_off()
    ax.set_title(f"{head_name(layer, head)}: from each token (left) to the tokens it attends to")
    return ax


def attention_grid(captured: Any, *, ax: Axes | None = None) -> Axes:
    """All heads on one page: a panel a head, layers down, heads across.

    In each panel rows are queries and columns keys, in the order of the tokens below the page:
    labels on the panels themselves would be too small to read.

    Args:
        captured: has `attention` (layer, head, query, key), `tokens` and `layers`.

    Raises:
        FigureError: no attention captured.
    """
    attention = _attention_of(captured)
    layers, heads, n, _ = attention.shape
    page, gap = compose_page(attention)
    labels, families = shown_tokens(_tokens_of(captured))
    side = figure_width(ax) - 1.0  # the rest is for the colour bar and the layer numbers
    caption = wrap(["down (from) and across (to):", *labels], side)
    height = side * layers / heads + 0.4 + text_height() * (len(caption) + 1)
    ax = axes_for(ax, height)
    image = ax.imshow(page, cmap=SEQUENTIAL, vmin=0, vmax=1, interpolation="antialiased")
    _number_panels(ax, _layers_of(captured), heads, n, gap)
    _colour_bar(ax, image, shrink=0.5)
    # The layout gives the name of an axis height but no width, which is what a caption needs.
    ax.set_xlabel("\n".join(caption), loc="left", multialignment="left")
    dress_labels([ax.xaxis.label], families)
    return ax


def _number_panels(ax: Axes, layers: Sequence[int], heads: int, n: int, gap: int) -> None:
    step = math.ceil(max(len(layers), heads) / 16)
    for axis, numbers in ((ax.xaxis, range(heads)), (ax.yaxis, layers)):
        centres = (n - 1) / 2 + (n + gap) * np.arange(len(numbers))
        axis.set_ticks(centres[::step], [str(number) for number in numbers[::step]])
    ax.tick_params(length=0, top=False, labeltop=True, labelbottom=False)
    ax.spines[:].set_visible(False)
    ax.set_facecolor("0.8")
    ax.set_ylabel("layer")
    ax.set_title("head")


def wrap(words: Sequence[str], width: float) -> list[str]:
    """Lines of at most about `width` inches at the current font size; words stay whole."""
    room = width * 72 / (0.6 * mpl.rcParams["font.size"])
    lines, used = [], math.inf
    for word in words:
        long = sum(2 if east_asian_width(c) in "WF" else 1 for c in word)
        if used + 2 + long > room:
            lines.append(word)
            used = long
        else:
            lines[-1] += "  " + word
            used += 2 + long
    return lines


def compose_page(attention: np.ndarray) -> tuple[np.ma.MaskedArray, int]:
    """All maps of (layer, head, query, key) in one image, and the width of the gaps in cells."""
    layers, heads, n, _ = attention.shape
    gap = max(1, round(n / 12))
    page = np.full((layers * (n + gap) - gap, heads * (n + gap) - gap), np.nan)
    for layer in range(layers):
        for head in range(heads):
            top, left = layer * (n + gap), head * (n + gap)
            page[top : top + n, left : left + n] = attention[layer, head]
    return np.ma.masked_invalid(page), gap


def head_weights(captured: Any, layer: int, head: int) -> np.ndarray:
    """The weights of one head, (query, key).

    Raises:
        FigureError: no attention captured, or a layer or head that is not there.
    """
    attention = _attention_of(captured)
    layers = list(_layers_of(captured))
    if layer not in layers:
        raise FigureError(f"Layer {layer} was not captured; the captured layers are {layers}.")
    heads = list(getattr(captured, "heads", range(attention.shape[1])))
    if head not in heads:
        raise FigureError(f"Head {head} was not captured; the captured heads are {heads}.")
    return attention[layers.index(layer), heads.index(head)]


def _attention_of(captured: Any) -> np.ndarray:
    attention = getattr(captured, "attention", None)
    if attention is None:
        raise FigureError(
            f"This {type(captured).__name__} holds no attention; capture the text with "
            "what=('attention',)."
        )
    rows, keys = np.shape(attention)[-2:]
    if not rows == keys == len(_tokens_of(captured)):
        raise FigureError(
            f"A figure shows attention among all {len(_tokens_of(captured))} tokens of a text, "
            f"and this has {rows} query positions by {keys} keys; capture every position."
        )
    return np.asarray(attention)


def _tokens_of(captured: Any) -> tuple[str, ...]:
    """Of a part of an encoder-decoder model, the tokens that its keys are."""
    return tuple(captured.tokens if hasattr(captured, "tokens") else captured.keys)


def _layers_of(captured: Any) -> range | tuple[int, ...]:
    return getattr(captured, "layers", range(len(captured.attention)))


def _colour_bar(ax: Axes, drawn: ScalarMappable, shrink: float) -> None:
    bar = figure_of(ax).colorbar(
        drawn, ax=ax, label="attention", shrink=shrink, pad=0.02, fraction=0.05, aspect=15
    )
    bar.outline.set_visible(False)


def _label_with_tokens(
    ax: Axes, labels: Sequence[str], families: Sequence[str], cell: float
) -> None:
    """Tokens on both axes, at a size that fits cells of `cell` inches, some left out if need be."""
    size = max(_SMALLEST_TEXT, min(mpl.rcParams["font.size"], cell * 72 / 1.1))
    step = math.ceil(_SMALLEST_TEXT * 1.1 / (cell * 72))
    places = np.arange(0, len(labels), step)
    ax.set_xticks(places, labels[::step], rotation=90, fontsize=size)
    ax.set_yticks(places, labels[::step], fontsize=size)
    ax.tick_params(length=0)
    dress_labels([*ax.get_xticklabels(), *ax.get_yticklabels()], families)
