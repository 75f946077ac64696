"""What adapters share: watching one attention module's call, and handing over what it computed."""

import inspect
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from .computation import Computation
from .dense import Dense
from .interface import running


@dataclass(frozen=True)
class Step:
    """One call of a watched function: its first argument, and what it returned."""

    scores: Tensor
    result: Tensor


class Recorder(TorchFunctionMode):
    """Notes every call of some torch functions while it is the active mode."""

    def __init__(self, functions: Collection[Any]) -> None:
        super().__init__()
        self.functions = functions
        self.steps: list[Step] = []

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in self.functions and not running.inside:
            self.steps.append(Step(args[0], result))
        return result


@dataclass
class Watch:
    """What happened so far in the current call of a module."""

    arguments: dict[str, Any] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    outputs: dict[str, list[Tensor]] = field(default_factory=dict)
    """What each watched submodule returned, by its name."""


@dataclass(frozen=True)
class Call:
    """The place of an adapter: its module, and who is told of its computations."""

    part: Any
    tell: Callable[[Computation], None]
    length: Callable[[], int | None]
    """How many tokens the model was given, before it padded them to whole blocks."""
    owner: Any
    """The model around the module that read them; None if there is none."""

    def hand_over(
        self,
        output: Tensor,
        heads: int,
        attention: Callable[[], Tensor],
        value: Callable[[], Tensor],
        visible: Callable[[], Tensor],
        *,
        extra_keys: int = 0,
        **options: Any,
    ) -> Tensor:
        """Tell of a computation, without the model's own padding, and return its head output.

        Args:
            output: (batch, token, head * width), what the kernel computed.
            attention, value, visible: over all tokens; padding comes last.
            extra_keys: how many keys stand before those of the tokens.
        """
        states = output.unflatten(-1, (heads, -1))
        length = min(self.length() or states.shape[1], states.shape[1])
        keys = extra_keys + length
        own = states[:, :length]
        computation = Dense(
            # A softmax in single precision is rounded before it weighs values.
            lambda: attention()[..., :length, :keys].to(states.dtype),
            lambda: value()[..., :keys, :],
            own,
            lambda: visible()[..., :length, :keys],
            keys=keys,
            **options,
        )
        self.tell(computation)
        edited = computation.head_output
        if edited is own:
            return output
        return torch.cat([edited.to(output.dtype), states[:, length:]], dim=1).flatten(2)


@contextmanager
def watching(
    part: Any,
    functions: Collection[Any],
    names: Collection[str],
    finish: Callable[[Watch, Any], Any] = lambda watch, output: None,
) -> Iterator[Watch]:
    """Watch every call of a module.

    Args:
        functions: torch functions to note.
        names: submodules whose outputs to note.
        finish: called with what the module returned; returns what to return instead, or None.
    """
    watch, recorder = Watch(), Recorder(functions)
    signature = inspect.signature(part.forward)
    active: list[Recorder] = []

    def forget() -> None:
        recorder.steps = watch.steps = []
        watch.arguments, watch.outputs = {}, {}

    def enter(_: Any, arguments: Any, named: dict[str, Any]) -> None:
        forget()
        watch.arguments = dict(signature.bind(*arguments, **named).arguments)
        active.append(recorder.__enter__())

    def end(_: Any, arguments: Any, output: Any) -> Any:
        return finish(watch, output)

    def leave(*_: Any) -> None:
        # After an exception in someone else's hook there may be nothing to leave.
        if active:
            active.pop().__exit__(None, None, None)
        forget()

    def note(name: str) -> Callable[..., None]:
        return lambda _, arguments, output: watch.outputs.setdefault(name, []).append(output)

    handles = [
        part.register_forward_pre_hook(enter, with_kwargs=True),
        part.register_forward_hook(end),
        part.register_forward_hook(leave, always_call=True),
        *(part.get_submodule(name).register_forward_hook(note(name)) for name in names),
    ]
    try:
        yield watch
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def replaced_input(projection: Any, replace: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
    """Let a submodule read something else than its first argument; None leaves it."""

    def exchange(_: Any, arguments: Any) -> Any:
        replacement = replace(arguments[0])
        return None if replacement is None else (replacement, *arguments[1:])

    handle = projection.register_forward_pre_hook(exchange)
    try:
        yield
    finally:
        handle.remove()
