"""Eval mode for the time of a block."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def eval_mode(module: Any) -> Iterator[None]:
    """Dropout would make rows of attention sum to anything but 1."""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True
