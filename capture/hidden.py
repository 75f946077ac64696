"""Hidden states: the input of the first block and the output of every block."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ..errors import CaptureError
from .sites import Site, find_sites


@contextmanager
def hidden_states(module: Any) -> Iterator[list[Tensor]]:
    """Collect hidden states of every forward pass inside the block; yields the list they fill.

    After a forward pass the list holds layers + 1 tensors (batch, token, hidden): state 0 is
    what the first block reads, state k+1 the output of block k, before any final norm (where
    transformers' own `hidden_states[-1]` of GPT-2 or Llama is taken after it). Tensors are live.

    Raises:
        CaptureError: the blocks of the model cannot be found.
    """
    blocks = find_blocks(module, find_sites(module))
    states: list[Tensor] = []

    def enter(part: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        if part is blocks[0] and not states:
            states.append(arguments[0] if arguments else named["hidden_states"])

    def leave(part: Any, arguments: Any, output: Any) -> None:
        states.append(output if isinstance(output, Tensor) else output[0])

    handles = [module.register_forward_pre_hook(lambda *_: states.clear())]
    for block in dict.fromkeys(blocks):
        handles.append(block.register_forward_pre_hook(enter, with_kwargs=True))
        handles.append(block.register_forward_hook(leave))
    try:
        yield states
    finally:
        for handle in handles:
            handle.remove()


def find_blocks(module: Any, sites: tuple[Site, ...]) -> list[Any]:
    """The block around each site: the outermost list element that contains its module."""
    return [_block(module, site) for site in sites]


def _block(module: Any, site: Site) -> Any:
    part, parts = module, site.module.split(".")
    for name in parts:
        inside_list = isinstance(part, torch.nn.ModuleList)
        part = getattr(part, name)
        if inside_list:
            return part
    raise CaptureError(f"The block around {site} cannot be found: it is not in a ModuleList.")
