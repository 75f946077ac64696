"""Opening the way into each attention module that the dry run found."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from ...errors import CaptureError
from ..sites import Site
from .adapters import adapted
from .computation import Computation
from .declare import declaration
from .discovery import ADAPTER, INTERFACE, batch_of
from .interface import Switched, running
from .listening import Listener, listening, tell
from .tap import Tap


@contextmanager
def open_ways(module: Any, sites: tuple[Site, ...], listener: Listener) -> Iterator[None]:
    """Let the listener hear every site until the block ends."""
    ways: dict[str, list[Site]] = {}
    for site in sites:
        ways.setdefault(site.module, []).append(site)
    with ExitStack() as stack:
        if any(site.way_in == INTERFACE for site in sites):
            stack.enter_context(Switched(module, listener))
        stack.callback(module.register_forward_pre_hook(_note_batch, with_kwargs=True).remove)
        for name, here in ways.items():
            part = module.get_submodule(name)
            if here[0].way_in == ADAPTER:
                stack.enter_context(adapted(module, name, listener))
            elif here[0].way_in != INTERFACE:
                stack.enter_context(listening(part, listener, _tap(module, part, here)))
        yield


def _note_batch(part: Any, arguments: Any, named: dict[str, Any]) -> None:
    running.batch = batch_of(arguments, named)


def _tap(
    module: Any, part: Any, here: list[Site]
) -> Callable[[ExitStack, Sequence[Listener]], None]:
    return lambda stack, listeners: _open_tap(stack, module, part, here, listeners)


def _open_tap(
    stack: ExitStack, module: Any, part: Any, here: list[Site], listeners: Sequence[Listener]
) -> None:
    declared = declaration(module)
    heard = depth = 0

    def computed(computation: Computation) -> None:
        nonlocal heard
        heard += 1
        heads = computation.head_output.shape[2]
        if heads != here[0].heads:
            raise CaptureError(
                f"{here[0]} has {here[0].heads} heads, and now seems to have {heads}: a part of "
                "the model was called with another batch than the model. Call the whole model, "
                "or open the block on the part."
            )
        tell(listeners, part, computation)

    tap = Tap(computed, lambda: running.batch, declared.layout if declared else None)

    def enter(*_: Any) -> None:
        nonlocal heard, depth
        heard = 0
        depth += 1
        tap.__enter__()

    def stop() -> None:
        nonlocal depth
        depth -= 1
        tap.__exit__(None, None, None)
        tap.forget()

    def leave(part: Any, arguments: Any, output: Any) -> None:
        # Another hook may have failed before ours entered.
        if depth:
            stop()
        # After an exception the output is None, and the exception says more.
        if heard not in (1, len(here)) and output is not None:
            raise CaptureError(
                f"{type(part).__name__} computed attention {heard} times in one call, unlike in "
                "the dry run: with these inputs it works in another way (several streams, or an "
                "approximation for long texts), which cannot be captured."
            )

    def abandon() -> None:
        # torch calls no hooks after an interrupt from the keyboard.
        while depth:
            stop()

    stack.callback(abandon)
    stack.callback(part.register_forward_pre_hook(enter).remove)
    stack.callback(part.register_forward_hook(leave, always_call=True).remove)
