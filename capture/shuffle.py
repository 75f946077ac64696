"""Seeded permutations of attention rows, the same whatever the batch and its padding."""

import zlib

import torch
from torch import Tensor


def shuffled(attention: Tensor, visible: Tensor, real: Tensor | None, seed: str) -> Tensor:
    """Each row permuted over its visible keys.

    Args:
        attention: (batch, head, query, key).
        visible: (batch, 1, query, key).
        real: (batch, query), True where a row is no padding; None if every row counts.
        seed: what the draw depends on, besides head, row and number of visible keys.
    """
    visible = visible.expand(len(attention), -1, -1, -1)
    batch, heads, queries, _ = attention.shape
    device = attention.device
    # Rows and keys are counted without padding, so that a text has the same draw in any batch.
    rows = torch.arange(queries, device=device).expand(batch, queries)
    if real is not None:
        rows = real.cumsum(-1)
    ranks = visible.cumsum(-1)
    start = torch.arange(heads, device=device) + zlib.crc32(seed.encode())
    noise = _mixed(_mixed(_mixed(start)[None, :, None] + rows[:, None])[..., None] + ranks)
    # Hidden keys come last in both orders, and so stay where they are.
    last = torch.iinfo(torch.int64).max
    drawn = noise.masked_fill(~visible, last).argsort(dim=-1, stable=True)
    own = (~visible).to(torch.uint8).argsort(dim=-1, stable=True).expand_as(drawn)
    return torch.zeros_like(attention).scatter(-1, own, attention.gather(-1, drawn))


def _mixed(number: Tensor) -> Tensor:
    """A hash of each integer, spread over 62 bits (the finaliser of splitmix64)."""
    number = number * -7046029254386353131
    number = (number ^ _shifted(number, 30)) * -4658895280553007687
    number = (number ^ _shifted(number, 27)) * -7723592293110705685
    return (number ^ _shifted(number, 31)) & ((1 << 62) - 1)


def _shifted(number: Tensor, bits: int) -> Tensor:
    """A shift to the right that brings in zeros, not the sign."""
    return (number >> bits) & ((1 << (64 - bits)) - 1)
