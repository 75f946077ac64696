"""The dry run: every way into attention is open at once, and what comes through is noted."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ...errors import CaptureError
from .adapters import adapted, adapter_of, mixes_masks
from .computation import Computation
from .declare import declaration
from .interface import Switched, can_switch, needs_masks
from .listening import Step
from .tap import Tap
from .trial import Trial

INTERFACE, TAP, DECLARED, ADAPTER = "attention interface", "softmax tap", "declaration", "adapter"


@dataclass(frozen=True)
class Found:
    """One attention computation of the dry run."""

    name: str
    way: str
    heads: int
    causal: bool
    other_states: bool
    """Whether the keys come from elsewhere than the queries: cross attention."""
    memory: tuple[tuple[str, int], ...] = ()


@dataclass
class _Active:
    """A module that runs at the moment."""

    module: Any
    softmaxes: int
    other_states: bool


@dataclass
class _Search:
    """What the dry run has seen so far; the listener of every way in."""

    names: dict[int, str]
    adapted: set[int]
    """Ids of the modules that have an adapter."""
    way: str = INTERFACE
    active: list[_Active] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    softmaxes: list[str] = field(default_factory=list)
    """Names of the modules that formed one, outside of adapted modules."""

    def computed(self, part: Any, computation: Computation) -> Sequence[Step]:
        return [lambda: self.note(part, computation, self.way)]

    def note(self, part: Any, computation: Computation, way: str) -> None:
        visible = computation.visible
        queries, keys = visible.shape[-2:]
        ahead = visible[0, 0].triu(1 + keys - queries) if keys >= queries else visible[0, 0]
        other = any(one.other_states for one in self.active if one.module is part)
        heads = computation.head_output.shape[2]
        causal = queries > 1 and not bool(ahead.any())
        name, memory = self.names[id(part)], computation.memory
        self.found.append(Found(name, way, heads, causal, other, memory))

    def lost(self) -> list[str]:
        """Modules that formed a softmax which was not followed to its values."""
        return sorted({name for name in self.softmaxes if not self._is_at_a_site(name)})

    def _is_at_a_site(self, name: str) -> bool:
        return any(
            not one.name or name == one.name or name.startswith(f"{one.name}.")
            for one in self.found
        )

    def is_adapted(self) -> bool:
        """Whether an adapted module runs at the moment."""
        return any(id(one.module) in self.adapted for one in self.active)

    def born(self, softmax: Tensor) -> None:
        # Routers of experts form softmaxes too, of two axes.
        if softmax.dim() > 2 and self.active and not self.is_adapted():
            self.softmaxes.append(self.names[id(self.active[-1].module)])

    def innermost(self, tap: Tap) -> Any:
        """The smallest module within which both softmax and product happened."""
        for one in reversed(self.active):
            if tap.softmaxes > one.softmaxes:
                return one.module
        return self.active[0].module


def discover(module: Any, trial: Trial) -> list[Found]:
    """Run a module once on trial inputs and note every attention computation, in order."""
    declared = declaration(module)
    names = {id(part): name for name, part in module.named_modules()}
    with_adapter = {id(part) for part in module.modules() if adapter_of(part) is not None}
    if any(mixes_masks(part) for part in module.modules()):
        needs_masks.add(module)
    search = _Search(names, with_adapter)

    def tapped(computation: Computation) -> None:
        if search.is_adapted():
            return
        part = search.innermost(tap)
        is_declared = declared is not None and names[id(part)] in declared.modules
        search.note(part, computation, DECLARED if is_declared else TAP)

    tap = Tap(tapped, lambda: _batch(trial), declared.layout if declared else None, search.born)
    with ExitStack() as stack:
        for part in module.modules():
            _follow(stack, part, search, tap)
        for part in module.modules():
            if id(part) in with_adapter:
                stack.enter_context(adapted(module, names[id(part)], _Adapted(search)))
        if can_switch(module):
            stack.enter_context(Switched(module, search))
        stack.enter_context(tap)
        output = trial.first_run(module)
    if not output.isfinite().all() and module not in needs_masks:
        # The placeholder of the mask holds NaN: this model computes with its masks.
        needs_masks.add(module)
        return discover(module, trial)
    if declared is None:
        _refuse_lost(module, search.lost())
        return search.found
    _refuse_missing(module, declared.modules, search.found)
    return [
        _with_memory(one, declared.memory) for one in search.found if one.name in declared.modules
    ]


def _refuse_lost(module: Any, lost: list[str]) -> None:
    if lost:
        kinds = sorted({type(module.get_submodule(name)).__name__ for name in lost})
        raise CaptureError(
            f"{type(module).__name__} forms attention in {', '.join(kinds)} ({lost[0]}, …) in a "
            "way that cannot be followed to its values, so part of its attention would go unseen."
        )


def _refuse_missing(module: Any, declared: tuple[str, ...], found: list[Found]) -> None:
    seen = {one.name for one in found}
    missing = [name for name in declared if name not in seen]
    if missing:
        others = sorted(name for name in seen if name and name not in declared)
        elsewhere = f" It was found in {', '.join(others)}: declare that." if others else ""
        raise CaptureError(
            f"{missing[0]} of {type(module).__name__} was declared to compute attention, but with "
            "the example it formed no softmax that could be followed to the values it weighs."
            f"{elsewhere} Weights are followed when they multiply values from the left, as in "
            "torch.bmm(weights, values), or in torch.einsum, or in "
            "(weights[..., None] * values).sum(1)."
        )


@dataclass(frozen=True)
class _Adapted:
    search: _Search

    def computed(self, part: Any, computation: Computation) -> Sequence[Step]:
        return [lambda: self.search.note(part, computation, ADAPTER)]


def _follow(stack: ExitStack, part: Any, search: _Search, tap: Tap) -> None:
    """Keep the list of running modules."""

    def enter(part: Any, arguments: Any, named: dict[str, Any]) -> None:
        other = any(
            isinstance(named.get(name), Tensor)
            for name in ("key_value_states", "encoder_hidden_states")
        )
        if isinstance(part, torch.nn.MultiheadAttention):
            other = len(arguments) > 1 and arguments[0] is not arguments[1]
        search.active.append(_Active(part, tap.softmaxes, other))

    def leave(*_: Any) -> None:
        search.active.pop()

    stack.callback(part.register_forward_pre_hook(enter, with_kwargs=True).remove)
    stack.callback(part.register_forward_hook(leave, always_call=True).remove)


def _batch(trial: Trial) -> int:
    return batch_of(trial.arguments, trial.named)


def batch_of(arguments: tuple[Any, ...], named: dict[str, Any]) -> int:
    """The number of texts in a call: the length of the first tensor."""
    for value in (*arguments, *named.values()):
        if isinstance(value, Tensor) and value.dim():
            return value.shape[0]
    return 0


def _with_memory(one: Found, memory: tuple[tuple[str, int], ...]) -> Found:
    return Found(one.name, one.way, one.heads, one.causal, one.other_states, memory)
