"""The parts of a model that can be switched off: heads, attention, MLPs, whole layers, sets."""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from ..capture import find_sites
from ..capture.blocks import stack_blocks
from ..errors import CaptureError

Head = tuple[int, int]
_HEAD = re.compile(r"L(\d+)H(\d+)")
_LAYER = re.compile(r"L(\d+)( attention| mlp)?")


@dataclass(frozen=True)
class Part:
    """What is switched off together; layers and heads count from 0."""

    name: str
    kind: str
    """`head`, `attention` (all heads of a layer), `mlp`, `layer` or `set`."""
    heads: tuple[Head, ...] = ()
    """(layer, head) of each."""
    mlps: tuple[int, ...] = ()
    """Layers whose feed-forward network adds nothing of its own to the residual stream."""
    layers: tuple[int, ...] = ()
    """Layers whose block returns what it reads (Fan et al. 2020; Sajjad et al. 2023)."""

    @property
    def touched(self) -> tuple[int, ...]:
        """The layers in which anything is switched off, in order."""
        return tuple(sorted({layer for layer, _ in self.heads} | {*self.mlps, *self.layers}))

    @property
    def place(self) -> tuple[int | None, int | None]:
        """Layer and head as the tables give them; None where the part is of several."""
        if self.kind == "set":
            return None, None
        return self.touched[0], self.heads[0][1] if self.kind == "head" else None


def heads_of(module: Any) -> tuple[int, ...]:
    """The number of heads of each layer; 0 where all were pruned.

    Raises:
        CaptureError: there is no attention, or several kinds of it.
    """
    sites = find_sites(module)
    kinds = list(dict.fromkeys(f"{site.stack} {site.kind}" for site in sites))
    if len(kinds) > 1:
        raise CaptureError(
            f"{type(module).__name__} has attention of several kinds ({', '.join(kinds)}); parts "
            "are switched off in models with one stack and one kind. For its encoder alone give "
            "dataclasses.replace(model, module=model.reader, task='encoder')."
        )
    counts = {site.layer: site.heads for site in sites}
    layers = max(counts) + 1
    with suppress(CaptureError):  # Layers without heads at the end are seen in the blocks alone.
        layers = max(layers, len(stack_blocks(module).names))
    return tuple(counts.get(layer, 0) for layer in range(layers))


def every_head(module: Any) -> list[Part]:
    """One part a head, layer by layer."""
    return [
        head_part(layer, head) for layer, heads in enumerate(heads_of(module))
        for head in range(heads)
    ]  # fmt: skip


def every_attention(module: Any) -> list[Part]:
    """One part a layer: all its heads."""
    return [attention_part(layer, heads) for layer, heads in enumerate(heads_of(module)) if heads]


def every_mlp(module: Any) -> list[Part]:
    """One part a layer: its feed-forward network."""
    return [mlp_part(layer) for layer in range(len(heads_of(module)))]


def every_layer(module: Any) -> list[Part]:
    """One part a layer: its whole block."""
    return [layer_part(layer) for layer in range(len(heads_of(module)))]


def every_pair(heads: Sequence[Head]) -> list[Part]:
    """One part for every two of the given heads: which of them back each other up?"""
    return [head_set(f"{_name(a)}+{_name(b)}", (a, b)) for a, b in combinations(heads, 2)]


def head_part(layer: int, head: int) -> Part:
    return Part(_name((layer, head)), "head", heads=((layer, head),))


def attention_part(layer: int, heads: int) -> Part:
    every = tuple((layer, head) for head in range(heads))
    return Part(f"L{layer} attention", "attention", heads=every)


def mlp_part(layer: int) -> Part:
    return Part(f"L{layer} mlp", "mlp", mlps=(layer,))


def layer_part(layer: int) -> Part:
    return Part(f"L{layer}", "layer", layers=(layer,))


def head_set(name: str, heads: Iterable[Head]) -> Part:
    """A named set of heads, such as those that a relation analysis found."""
    return Part(name, "set", heads=tuple(dict.fromkeys((int(a), int(b)) for a, b in heads)))


def parse_part(text: str, module: Any) -> Part:
    """The part that a text names: `L7H9`, `L3 attention`, `L3 mlp`, `L3`, or several joined by +.

    Raises:
        CaptureError: it names nothing, or nothing that the model has.
    """
    pieces = [_parsed(piece.strip(), text, module) for piece in text.split("+")]
    if len(pieces) == 1:
        part = pieces[0]
    else:
        part = Part(
            text, "set",
            heads=tuple(dict.fromkeys(head for piece in pieces for head in piece.heads)),
            mlps=tuple(dict.fromkeys(layer for piece in pieces for layer in piece.mlps)),
            layers=tuple(dict.fromkeys(layer for piece in pieces for layer in piece.layers)),
        )  # fmt: skip
    check_parts(module, [part])
    return part


def _parsed(piece: str, text: str, module: Any) -> Part:
    if found := _HEAD.fullmatch(piece):
        return head_part(int(found[1]), int(found[2]))
    if found := _LAYER.fullmatch(piece):
        layer, what = int(found[1]), found[2]
        if what is None:
            return layer_part(layer)
        if what == " mlp":
            return mlp_part(layer)
        counts = heads_of(module)
        # Of a layer that does not exist, or has no heads, one is named, which is refused below.
        return attention_part(layer, counts[layer] or 1 if layer < len(counts) else 1)
    raise CaptureError(
        f"{text!r} names no part of a model; write L7H9 for a head (both count from 0), "
        "'L3 attention', 'L3 mlp', L3 for a whole layer, or several joined by +."
    )


def check_parts(module: Any, parts: Sequence[Part]) -> None:
    """Refuse parts that the model does not have.

    Raises:
        CaptureError: a head or layer that does not exist, a part of nothing, a name given twice,
            no part at all, or something else.
    """
    listed = isinstance(parts, Sequence) and not isinstance(parts, str)
    if not listed or not all(isinstance(part, Part) for part in parts):
        raise CaptureError(
            f"parts is {parts!r}; give a list of parts, such as every_head(module) or "
            "[parse_part('L7H9', module)] of bertology.ablation.parts."
        )
    if not parts:
        raise CaptureError("No part of the model was given; give at least one, or every_head().")
    counts = heads_of(module)
    for part in parts:
        if not part.touched:
            raise CaptureError(f"The part {part.name!r} is empty; name at least one head or layer.")
        outside = [layer for layer in part.touched if not 0 <= layer < len(counts)]
        if outside:
            raise CaptureError(
                f"The part {part.name!r} names layer {outside[0]}; the model has layers 0 to "
                f"{len(counts) - 1}."
            )
        for layer, head in part.heads:
            if not counts[layer]:
                raise CaptureError(
                    f"The part {part.name!r} names head {head} of layer {layer}, whose heads have "
                    "all been pruned."
                )
            if not 0 <= head < counts[layer]:
                raise CaptureError(
                    f"The part {part.name!r} names head {head} of layer {layer}, which has heads "
                    f"0 to {counts[layer] - 1}."
                )
    names = [part.name for part in parts]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise CaptureError(f"Several parts have the name {twice[0]!r}; give each one of its own.")


def _name(head: Head) -> str:
    return f"L{head[0]}H{head[1]}"
