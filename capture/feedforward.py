"""The feed-forward network of each layer: the module whose output joins the residual stream.

It is found by running the model: a module behind attention whose output is added, as it is, to
the state that attention left. Families differ in what they call it and in whether a norm follows
(BERT) or came first (GPT-2, Llama).
"""

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ..errors import CaptureError
from .blocks import Blocks, hidden_of, replaced, stack_blocks
from .mode import trial_mode
from .sites import find_sites
from .ways.trial import Trial, trial_of

_known: WeakKeyDictionary[Any, Blocks] = WeakKeyDictionary()
#: Relative to the largest number of the state: what adding and subtracting rounds off.
_ROUNDING = 1e-4


def find_mlps(module: Any) -> Blocks:
    """The module of each layer whose output is what its feed-forward network adds.

    Raises:
        CaptureError: there is none that is seen to be added to the residual stream, or the
            blocks of the model cannot be found.
    """
    if module not in _known:
        blocks = stack_blocks(module)
        names = tuple(_in_block(module, blocks, layer) for layer in range(len(blocks.names)))
        _known[module] = Blocks(names, None, blocks.batch_axis)
    return _known[module]


def _contains(outer: str, inner: str) -> bool:
    return f"{inner}.".startswith(f"{outer}.")


@dataclass
class _Run:
    """What passes between the modules of one block, in the order of the calls."""

    read: list[tuple[str, Tensor]] = field(default_factory=list)
    written: list[tuple[str, Tensor]] = field(default_factory=list)
    start: Tensor = field(default_factory=lambda: torch.empty(0))
    output: Tensor = field(default_factory=lambda: torch.empty(0))


def _in_block(module: Any, blocks: Blocks, layer: int) -> str:
    name = blocks.names[layer]
    block = module.get_submodule(name)
    here = [site for site in find_sites(module) if _contains(name, site.module)]
    # A block that all layers share names the site of the first.
    own = [site for site in here if site.layer == layer] or here
    path = own[0].module.removeprefix(f"{name}.").split(".") if own else []
    trial, turn = trial_of(module), blocks.times(layer)[0]
    with trial_mode(module):
        intact = _watch(module, block, trial, turn)
        # First beside the outermost module around attention, then nearer.
        for depth in range(1, len(path) + 1):
            inside = ".".join(path[:depth])
            attended = [one for part, one in intact.written if _contains(inside, part)]
            for part, written in intact.written:
                # A dropout behind attention, say, hands on what attention wrote.
                if (
                    written.shape == intact.output.shape
                    and not _contains(inside, part) and not _contains(part, inside)
                    and not any(torch.equal(written, one) for one in attended
                                if one.shape == written.shape)
                    and _is_added(module, block, trial, turn, part, intact)
                ):  # fmt: skip
                    return f"{name}.{part}"
    raise CaptureError(
        f"No module of {name} ({type(block).__name__}) is seen to add the feed-forward network to "
        "the residual stream, so it cannot be switched off. Choose heads, attention or layers."
    )


def _watch(module: Any, block: Any, trial: Trial, turn: int, zeroed: str | None = None) -> _Run:
    """One pass; of a block that is called several times, the call `turn`."""
    run, calls = _Run(), -1

    def enter(part: Any, arguments: Any, named: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == turn:
            run.start = (arguments[0] if arguments else named["hidden_states"]).clone()

    def leave(part: Any, arguments: Any, output: Any) -> None:
        if calls == turn:
            run.output = hidden_of(output).clone()

    def watch(name: str) -> Any:
        def hook(part: Any, arguments: Any, named: Any, output: Any) -> Any:
            if calls != turn:
                return None
            given = arguments[0] if arguments else named.get("hidden_states")
            if isinstance(given, Tensor):
                run.read.append((name, given.clone()))
            own = output[0] if isinstance(output, tuple | list) and output else output
            if not isinstance(own, Tensor):
                return None
            run.written.append((name, own.clone()))
            return replaced(output, torch.zeros_like(own)) if name == zeroed else None

        return hook

    with ExitStack() as stack:
        stack.callback(block.register_forward_pre_hook(enter, with_kwargs=True).remove)
        stack.callback(block.register_forward_hook(leave).remove)
        for name, part in block.named_modules():
            if name:
                stack.callback(part.register_forward_hook(watch(name), with_kwargs=True).remove)
        trial.run(module)
    return run


def _is_added(
    module: Any, block: Any, trial: Trial, turn: int, candidate: str, intact: _Run
) -> bool:
    """Whether some state is the candidate's output plus a state that was there before it."""
    added = next(written for name, written in intact.written if name == candidate)
    without = _watch(module, block, trial, turn, zeroed=candidate)
    states = [state for _, state in (*intact.read, *intact.written) if state.shape == added.shape]
    # What is left holds what attention wrote; beside parallel networks it is seen nowhere.
    states += [intact.start + state for state in states]
    pairs = [*zip(intact.read, without.read, strict=False),
             (("", intact.output), ("", without.output))]  # fmt: skip
    for (_, full), (_, rest) in pairs:
        if full.shape != added.shape or rest.shape != added.shape:
            continue
        close = _ROUNDING * max(1.0, full.abs().max().item())
        if torch.allclose(full - rest, added, rtol=0, atol=close) and rest.any():
            own = not torch.allclose(rest, intact.start, rtol=0, atol=close)
            return own and any(torch.allclose(rest, one, rtol=0, atol=close) for one in states)
    return False
