"""Opening the way into each attention module that the dry run found."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from ...errors import CaptureError
from ..sites import Site
from .adapters import adapted
from .computation import Computation
from .declare import declaration
from .discovery import ADAPTER, INTERFACE, batch_of
from .interface import Listener, Switched
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
        batch = _watch_batch(stack, module)
        for name, here in ways.items():
            part = module.get_submodule(name)
            if here[0].way_in == ADAPTER:
                stack.enter_context(adapted(module, name, listener))
            elif here[0].way_in != INTERFACE:
                _tap(stack, module, part, listener, batch, len(here))
        yield


def _watch_batch(stack: ExitStack, module: Any) -> Callable[[], int]:
    size = 0

    def note(part: Any, arguments: Any, named: dict[str, Any]) -> None:
        nonlocal size
        size = batch_of(arguments, named)

    stack.callback(module.register_forward_pre_hook(note, with_kwargs=True).remove)
    return lambda: size


def _tap(
    stack: ExitStack,
    module: Any,
    part: Any,
    listener: Listener,
    batch: Callable[[], int],
    sites: int,
) -> None:
    declared = declaration(module)
    heard = running = 0

    def computed(computation: Computation) -> None:
        nonlocal heard
        heard += 1
        listener.computed(part, computation)

    tap = Tap(computed, batch, declared.layout if declared else None)

    def enter(*_: Any) -> None:
        nonlocal heard, running
        heard = 0
        running += 1
        tap.__enter__()

    def stop() -> None:
        nonlocal running
        running -= 1
        tap.__exit__(None, None, None)
        tap.forget()

    def leave(part: Any, arguments: Any, output: Any) -> None:
        # Another hook may have failed before ours entered.
        if running:
            stop()
        # After an exception the output is None, and the exception says more.
        if heard not in (1, sites) and output is not None:
            raise CaptureError(
                f"{type(part).__name__} computed attention {heard} times in one call, unlike in "
                "the dry run: with these inputs it works in another way (several streams, or an "
                "approximation for long texts), which cannot be captured."
            )

    def abandon() -> None:
        # torch calls no hooks after an interrupt from the keyboard.
        while running:
            stop()

    stack.callback(abandon)
    stack.callback(part.register_forward_pre_hook(enter).remove)
    stack.callback(part.register_forward_hook(leave, always_call=True).remove)
