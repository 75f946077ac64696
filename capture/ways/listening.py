"""Who is told of attention computations, and in which order they act."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import zip_longest
from typing import Any, Protocol

from .computation import Computation, Kernel

Step = Callable[[], None]


class Listener(Protocol):
    """What every computation of a module is handed to."""

    def computed(self, part: Any, computation: Computation) -> Sequence[Step]:
        """The steps to take: edits of attention, edits of head outputs, looks."""
        ...


#: Listeners of each module with a way of its own, by id: nested sessions share one way.
_listeners: dict[int, list[Listener]] = {}


def tell(listeners: Sequence[Listener], part: Any, computation: Computation) -> None:
    """Let all listeners act: whoever looks sees the edits of all, as if in one session."""
    if isinstance(computation, Kernel) and not computation.query.shape[1]:
        return  # a pruned layer without heads attends to nothing
    steps = [listener.computed(part, computation) for listener in listeners]
    for together in zip_longest(*steps):
        for step in together:
            if step is not None:
                step()


@contextmanager
def listening(
    part: Any, listener: Listener, opening: Callable[[ExitStack, Sequence[Listener]], None]
) -> Iterator[None]:
    """Let the listener hear a module until the block ends; `opening` opens a way that is shut."""
    listeners = _listeners.setdefault(id(part), [])
    listeners.append(listener)
    try:
        with ExitStack() as stack:
            if len(listeners) == 1:
                opening(stack, listeners)
            yield
    finally:
        listeners.remove(listener)
        if not listeners:
            del _listeners[id(part)]
