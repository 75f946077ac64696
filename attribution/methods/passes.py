"""Counting what a method costs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass
class Passes:
    """Texts that went through a model; a batch of 8 counts 8."""

    forward: int = 0
    backward: int = 0


@contextmanager
def counted_passes(module: Any) -> Iterator[Passes]:
    """Counts the forward passes of a module, and the backward passes from its first output."""
    passes = Passes()

    def note(_: Any, arguments: Any, output: Any) -> None:
        first: Tensor = output[0]
        rows = len(first)
        passes.forward += rows
        if first.requires_grad:
            first.register_hook(lambda _: _add(passes, rows))

    handle = module.register_forward_hook(note)
    try:
        yield passes
    finally:
        handle.remove()


def _add(passes: Passes, rows: int) -> None:
    passes.backward += rows
