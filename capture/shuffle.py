"""Seeded draws for attention rows, the same whatever the batch and its padding."""

import zlib

import torch
from torch import Tensor


def shuffled(
    attention: Tensor,
    visible: Tensor,
    real: Tensor | None,
    seed: str,
    texts: Tensor | None = None,
) -> Tensor:
    """Each row permuted over its visible keys.

    Args:
        attention: (batch, head, query, key).
        visible: (batch, 1, query, key).
        real: (batch, query), True where a row is no padding; None if every row counts.
        seed: what the draw depends on, besides head, row and number of visible keys.
        texts: (batch,) integers; if given, texts with other numbers have draws of their own.
    """
    visible = visible.expand(len(attention), -1, -1, -1)
    own_draw = [] if texts is None else [texts[:, None, None, None]]
    noise = hashed(seed, *own_draw, *places(attention, visible, real))
    # Hidden keys come last in both orders, and so stay where they are.
    last = torch.iinfo(torch.int64).max
    drawn = noise.masked_fill(~visible, last).argsort(dim=-1, stable=True)
    own = (~visible).to(torch.uint8).argsort(dim=-1, stable=True).expand_as(drawn)
    return torch.zeros_like(attention).scatter(-1, own, attention.gather(-1, drawn))


def places(attention: Tensor, visible: Tensor, real: Tensor | None) -> tuple[Tensor, ...]:
    """Head, row and key of every attention weight, rows and keys counted without padding.

    A text has the same places in any batch. Integers that broadcast to (batch, head, query, key);
    arguments as for `shuffled`.
    """
    batch, heads, queries, _ = attention.shape
    device = attention.device
    rows = torch.arange(queries, device=device).expand(batch, queries)
    if real is not None:
        rows = real.cumsum(-1)
    head = torch.arange(heads, device=device)
    return head[None, :, None, None], rows[:, None, :, None], visible.cumsum(-1)


def hashed(seed: str, *places: Tensor) -> Tensor:
    """A number from 0 to 2**62 - 1 for each place; equal places of one seed have the same."""
    number = torch.tensor(zlib.crc32(seed.encode()), device=places[0].device)
    for place in places:
        number = _mixed(number + place)
    return number


def _mixed(number: Tensor) -> Tensor:
    """A hash of each integer, spread over 62 bits (the finaliser of splitmix64)."""
    number = number * -7046029254386353131
    number = (number ^ _shifted(number, 30)) * -4658895280553007687
    number = (number ^ _shifted(number, 27)) * -7723592293110705685
    return (number ^ _shifted(number, 31)) & ((1 << 62) - 1)


def _shifted(number: Tensor, bits: int) -> Tensor:
    """A shift to the right that brings in zeros, not the sign."""
    return (number >> bits) & ((1 << (64 - bits)) - 1)
