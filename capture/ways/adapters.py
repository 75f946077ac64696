"""Adapters for attention that is not one softmax over all keys."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from transformers import PreTrainedModel

from ...errors import CaptureError
from .banded import banded
from .computation import Computation
from .hashed import chunked, hashed
from .interface import running
from .listening import Listener, listening, tell
from .sparse_blocks import blocked
from .torch_attention import multihead
from .watching import Call
from .windows import neighbouring, windowed

Adapter = Callable[[Call], AbstractContextManager[None]]

#: From the class of an attention module in transformers or torch to its adapter.
ADAPTERS: dict[str, Adapter] = {
    "LongformerSelfAttention": banded,
    "LEDEncoderSelfAttention": banded,
    "LocalSelfAttention": chunked,
    "LSHSelfAttention": hashed,
    "BigBirdAttention": blocked,
    "BigBirdPegasusEncoderAttention": blocked,
    "LongT5LocalAttention": neighbouring,
    "LongT5TransientGlobalAttention": neighbouring,
    "CanineAttention": windowed,
    "MultiheadAttention": multihead,
}
_SOURCES = "transformers.models.", "torch.nn.modules."


def adapter_of(part: Any) -> Adapter | None:
    """The adapter of a module; subclasses have that of their ancestor.

    Raises:
        CaptureError: what the module computes are no probabilities.
    """
    if type(part).__name__ == "NystromformerSelfAttention" and part.num_landmarks != part.seq_len:
        raise CaptureError(
            f"NystromformerSelfAttention approximates attention by {part.num_landmarks} landmarks "
            f"for {part.seq_len} tokens: its rows can be negative and sum to anything, so they "
            "are no attention. Configure as many landmarks as tokens (num_landmarks = "
            "segment_means_seq_len), for which it computes attention exactly."
        )
    # Only the first layer of CANINE looks through windows.
    if type(part).__name__ == "CanineAttention" and not part.local:
        return None
    for kind in type(part).__mro__:
        if kind.__module__.startswith(_SOURCES) and kind.__name__ in ADAPTERS:
            return ADAPTERS[kind.__name__]
    return None


def mixes_masks(part: Any) -> bool:
    """Whether a module may compute with masks, for texts unlike those of the dry run."""
    return adapter_of(part) is blocked


@contextmanager
def adapted(module: Any, name: str, listener: Listener) -> Iterator[None]:
    """Let the listener hear an adapted submodule until the block ends."""
    part = module.get_submodule(name)

    def opening(stack: ExitStack, listeners: Sequence[Listener]) -> None:
        _open(stack, module, name, part, listeners)

    with listening(part, listener, opening):
        yield


def _open(
    stack: ExitStack, module: Any, name: str, part: Any, listeners: Sequence[Listener]
) -> None:
    def told(computation: Computation) -> None:
        running.inside = True
        try:
            tell(listeners, part, computation)
        finally:
            running.inside = False

    adapter = adapter_of(part)
    if adapter is None:
        raise CaptureError(
            f"{name} is a {type(part).__name__} now, which it was not when its attention was "
            "found. Load the model anew."
        )
    owner = _owner(module, name)
    length = _watch_length(stack, owner) if owner is not None else lambda: None
    stack.enter_context(adapter(Call(part, told, length, owner)))


def _owner(module: Any, name: str) -> Any:
    """The smallest model around a submodule that reads tokens; None if there is none."""
    names = name.split(".")
    for depth in range(len(names) - 1, -1, -1):
        around = module.get_submodule(".".join(names[:depth]))
        if isinstance(around, PreTrainedModel) and "input_ids" in _parameters(around):
            return around
    return None


def _parameters(module: Any) -> list[str]:
    return list(inspect.signature(module.forward).parameters)


def _watch_length(stack: ExitStack, owner: Any) -> Callable[[], int | None]:
    """The number of tokens in the current call of a model."""
    length: int | None = None
    signature = inspect.signature(owner.forward)

    def note(_: Any, arguments: Any, named: dict[str, Any]) -> None:
        nonlocal length
        given = signature.bind(*arguments, **named).arguments
        read = given.get("input_ids")
        read = given.get("inputs_embeds") if read is None else read
        length = None if read is None else read.shape[1]

    stack.callback(owner.register_forward_pre_hook(note, with_kwargs=True).remove)
    return lambda: length
