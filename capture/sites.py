"""Where a model computes attention: one site per computation of a forward pass."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from weakref import WeakKeyDictionary

import torch

from ..errors import CaptureError
from .mode import trial_mode
from .ways.declare import Declaration, declaration
from .ways.discovery import Found, discover
from .ways.trial import trial_of

#: Module names that speak of attention from a decoder to an encoder.
_CROSS = ("crossattention", "encdecattention", "encoder_attn", "cross_attn")


@dataclass(frozen=True)
class Site:
    """One attention computation of a forward pass."""

    module: str
    """Dotted name of the module that computes it."""
    call: int
    """The n-th computation of that module in a forward pass, from 0 (ALBERT shares a module)."""
    stack: str
    """`encoder` or `decoder`; a stack of its own is a decoder if it never looks ahead."""
    kind: str
    """`self` or `cross`."""
    layer: int
    """The block it belongs to, from 0; where the names do not say, its place in its stack.

    A model in which only some blocks attend by softmax has sites in some layers only.
    """
    heads: int
    way_in: str = "attention interface"
    memory: tuple[tuple[str, int], ...] = field(default=(), compare=False)
    """Kinds of keys that precede the text's own, and how many there can be of each."""

    def __str__(self) -> str:
        return f"{self.stack} {self.kind} layer {self.layer} ({self.module})"

    def key_labels(self, queries: int, keys: int) -> tuple[str, ...]:
        """What each key of a (query, key) map is: a memory position, or the text's own token.

        Memory positions count backwards from the text: `memory -1` is the nearest.
        """
        own = [f"token {place}" for place in range(min(queries, keys))] if self.memory else [
            f"token {place}" for place in range(keys)]  # fmt: skip
        labels, left = own, keys - len(own)
        for name, most in reversed(self.memory):
            count = min(most, left)
            labels = [f"{name} {place}" for place in range(-count, 0)] + labels
            left -= count
        return tuple([f"earlier {place}" for place in range(-left, 0)] + labels)


_known: WeakKeyDictionary[Any, tuple[Declaration | None, tuple[Site, ...]]] = WeakKeyDictionary()


def find_sites(module: Any) -> tuple[Site, ...]:
    """The attention sites of a model, in order of computation, found by a dry run.

    Raises:
        CaptureError: the model has no attention, or none that can be reached.
    """
    declared, known = declaration(module), _known.get(module)
    if known is None or known[0] is not declared:
        _known[module] = known = declared, _dry_run(module)
    return known[1]


def forget_sites(module: Any) -> None:
    """Let the next look at a model find its sites anew, after its parts have changed."""
    _known.pop(module, None)


def _dry_run(module: Any) -> tuple[Site, ...]:
    trial = trial_of(module)
    with trial_mode(module):
        found = discover(module, trial)
    name = type(module).__name__
    if not found:
        raise CaptureError(
            f"{name} has no attention that can be reached: a forward pass computed no softmax "
            "over keys that then weighs values. Choose a model that has softmax attention, or "
            "say where yours is: declare(module, 'name.of.the.attention.module', …)."
        )
    calls: Counter[str] = Counter()
    sites = []
    places = [(_stack(module, one), _kind(one)) for one in found]
    layers = _layers(module, found, places)
    for one, (stack, kind), layer in zip(found, places, layers, strict=True):
        sites.append(
            Site(one.name, calls[one.name], stack, kind, layer, one.heads, one.way, one.memory)
        )
        calls[one.name] += 1
    return tuple(sites)


def _layers(module: Any, found: list[Found], places: list[tuple[str, str]]) -> list[int]:
    """The layer of each computation: its block's number, or its place among its like.

    Blocks are numbered by the list that holds them, if their numbers grow from each computation
    of a stack and kind to the next; shared and nested blocks are counted instead.
    """
    layers = [0] * len(found)
    for place in set(places):
        here = [index for index, other in enumerate(places) if other == place]
        blocks = [_block_number(module, found[index].name) for index in here]
        grows = all(one < other for one, other in pairwise(blocks))
        for count, (index, block) in enumerate(zip(here, blocks, strict=True)):
            layers[index] = block if grows and block >= 0 else count
    return layers


def _block_number(module: Any, name: str) -> int:
    """The place in the outermost list of modules, -1 if it is in none."""
    part = module
    for step in name.split(".") if name else ():
        if isinstance(part, torch.nn.ModuleList):
            return int(step)
        part = getattr(part, step)
    return -1


def _stack(module: Any, one: Found) -> str:
    for name in one.name.split("."):
        if name in ("encoder", "decoder"):
            two = getattr(getattr(module, "config", None), "is_encoder_decoder", False)
            if two or name == "decoder":
                return name
    return "decoder" if one.causal else "encoder"


def _kind(one: Found) -> str:
    name = one.name.lower()
    return "cross" if one.other_states or any(part in name for part in _CROSS) else "self"
