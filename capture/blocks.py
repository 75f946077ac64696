"""The blocks of a model: the modules whose outputs are its hidden states."""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ..errors import CaptureError
from .mode import trial_mode
from .sites import Site, find_sites
from .ways.discovery import batch_of
from .ways.trial import Trial, trial_of


@dataclass(frozen=True)
class Blocks:
    """The blocks of one stack, in the order of their calls."""

    names: tuple[str, ...]
    """One for each call: a module that all layers share comes several times."""
    embeddings: str | None
    """The module whose output is hidden state 0, where the blocks are no modules (XLM)."""
    batch_axis: int
    """0 for (batch, token, hidden), 1 for (token, batch, hidden)."""

    @property
    def is_shared(self) -> bool:
        return len(set(self.names)) < len(self.names)

    def times(self, layer: int) -> tuple[int, int]:
        """Which call of its module a block is, and how many there are in a pass."""
        name = self.names[layer]
        return self.names[:layer].count(name), self.names.count(name)


_known: WeakKeyDictionary[Any, tuple[tuple[Site, ...], dict[str, Blocks]]] = WeakKeyDictionary()


def stacks_of(module: Any) -> tuple[str, ...]:
    """The stacks of a model, in the order of their computation."""
    return tuple(dict.fromkeys(site.stack for site in find_sites(module)))


def stack_blocks(module: Any, stack: str | None = None) -> Blocks:
    """The blocks of a stack, found by a dry run.

    Raises:
        CaptureError: there is no such stack, several and none is named, or its blocks cannot be
            found.
    """
    stacks = stacks_of(module)
    if stack is None and len(stacks) > 1:
        raise CaptureError(
            f"{type(module).__name__} has several stacks, each with hidden states of its own; "
            f"name one: stack='{stacks[0]}' or stack='{stacks[1]}'."
        )
    wanted = stacks[0] if stack is None else stack
    if wanted not in stacks:
        raise CaptureError(f"There is no stack {wanted!r}; this model has {' and '.join(stacks)}.")
    sites = find_sites(module)
    known = _known.get(module)
    if known is None or known[0] is not sites:
        _known[module] = known = sites, {}
    if wanted not in known[1]:
        known[1][wanted] = _find(module, [site for site in sites if site.stack == wanted])
    return known[1][wanted]


def hidden_of(output: Any) -> Tensor:
    """The hidden state in what a block returned: all of it, or the first of several things."""
    found = output if isinstance(output, Tensor) else output[0]
    if not isinstance(found, Tensor):
        raise CaptureError(
            f"A block returned {type(output).__name__}, whose first part is no hidden state."
        )
    return found


def replaced(output: Any, hidden: Tensor) -> Any:
    """The same output with another hidden state."""
    if isinstance(output, Tensor):
        return hidden
    if hasattr(output, "_replace"):
        return output._replace(**{output._fields[0]: hidden})
    if isinstance(output, dict):
        return type(output)({**output, next(iter(output)): hidden})
    return type(output)([hidden, *output[1:]])


@dataclass
class _Run:
    """What the blocks of a stack read and returned in a dry run."""

    names: list[str] = field(default_factory=list)
    read: list[Tensor | None] = field(default_factory=list)
    written: list[Tensor] = field(default_factory=list)

    def is_chained(self) -> bool:
        """Whether each block reads what the one before it returned."""
        return all(
            read is not None and torch.equal(read, written)
            for read, written in zip(self.read[1:], self.written, strict=False)
        )


def _find(module: Any, sites: list[Site]) -> Blocks:
    around = [_around(module, site, sites) for site in sites]
    trial = trial_of(module)
    if None not in around:
        lists = dict.fromkeys(name.rpartition(".")[0] for name in around if name is not None)
        names = [f"{owner}.{child}" for owner in lists for child, _ in _child(module, owner)]
        run = _dry_run(module, trial, names)
        # A list of bare attention modules has no blocks: much happens between them.
        bare = any(site.module in names for site in sites)
        if run.names and (not bare or run.is_chained()):
            return Blocks(tuple(run.names), None, _batch_axis(trial, run))
    found = _between_norms(module, trial, sites)
    if found is None:
        raise CaptureError(
            f"The blocks of {type(module).__name__} cannot be found: {sites[0]} is in no list of "
            "modules that each return a hidden state. Its attention can be captured; for hidden "
            "states, pass output_hidden_states=True to the model."
        )
    return found


def _child(module: Any, name: str) -> Iterable[tuple[str, Any]]:
    return (module.get_submodule(name) if name else module).named_children()


def _around(module: Any, site: Site, sites: list[Site]) -> str | None:
    """The outermost list element around a site with no other site of its kind in it."""
    part, path = module, ""
    for name in site.module.split(".") if site.module else ():
        in_list = isinstance(part, torch.nn.ModuleList)
        part = getattr(part, name)
        path = f"{path}.{name}" if path else name
        here = {
            other.module
            for other in sites
            if other.kind == site.kind and f"{other.module}.".startswith(f"{path}.")
        }
        if in_list and not isinstance(part, torch.nn.ModuleList) and len(here) == 1:
            return path
    return None


def _dry_run(module: Any, trial: Trial, names: list[str]) -> _Run:
    run = _Run()

    def enter(part: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        found = arguments[0] if arguments else named.get("hidden_states")
        run.read.append(found.clone() if isinstance(found, Tensor) else None)

    with trial_mode(module), ExitStack() as handles:
        for name in names:
            part = module.get_submodule(name)

            def leave(part: Any, arguments: Any, output: Any, name: str = name) -> None:
                run.names.append(name)
                run.written.append(hidden_of(output))

            handles.callback(part.register_forward_pre_hook(enter, with_kwargs=True).remove)
            handles.callback(part.register_forward_hook(leave).remove)
        trial.run(module)
    return run


def _batch_axis(trial: Trial, run: _Run) -> int:
    shape, batch = run.written[0].shape, batch_of(trial.arguments, trial.named)
    return int(shape[0] != batch and len(shape) > 2 and shape[1] == batch)


def _between_norms(module: Any, trial: Trial, sites: list[Site]) -> Blocks | None:
    """XLM and Flaubert: lists of attention, feed-forward and norms, called in turn.

    The last norm of a layer returns its hidden state, unless norms come first.
    """
    owner = sites[0].module.rpartition(".")[0].rpartition(".")[0]
    attentions = [site.module for site in sites]
    prefix = f"{owner}." if owner else ""
    norms = [f"{prefix}layer_norm2.{child}" for child in range(len(sites))]
    first = f"{prefix}layer_norm_emb"
    there = {name for name, _ in module.named_modules()}
    if not {first, *norms} <= there:
        return None
    read, written = _dry_run(module, trial, attentions), _dry_run(module, trial, [first, *norms])
    chained = all(
        a is not None and torch.equal(a, b)
        for a, b in zip(read.read, written.written, strict=False)
    )
    return Blocks(tuple(norms), first, 0) if chained else None
