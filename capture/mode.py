"""Eval mode, and passes on made-up inputs, for the time of a block."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from .ways.interface import running


@contextmanager
def eval_mode(module: Any) -> Iterator[None]:
    """Dropout would make rows of attention sum to anything but 1."""
    training = [part for part in module.modules() if part.training]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True


@contextmanager
def trial_mode(module: Any) -> Iterator[None]:
    """For passes on made-up inputs: hooks of sessions that are open around them see nothing."""
    running.trials += 1
    try:
        with torch.no_grad(), eval_mode(module):
            yield
    finally:
        running.trials -= 1
