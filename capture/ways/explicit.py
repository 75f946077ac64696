"""Explicit attention in the place of `scaled_dot_product_attention`."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .computation import Kernel
from .masks import Index, Mask, additive


def _arguments(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> None:
    """The arguments of torch's function, which has no signature that Python can read."""


SIGNATURE = inspect.signature(_arguments)


def explicit(
    fast: Callable[..., Tensor],
    *,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None,
    is_causal: bool,
    scale: float | None,
    **options: Any,
) -> Kernel:
    """The same computation as the fast kernel's, from which attention can be formed."""
    shape = (query.shape[0], 1, query.shape[2], key.shape[2])
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    mask = attn_mask
    if is_causal:
        mask = torch.ones(shape[2:], dtype=torch.bool, device=query.device).tril()
    mask = additive(mask, query.dtype)
    if mask is not None:
        mask = mask.expand(*(1,) * (4 - mask.dim()), *mask.shape)

    def eager(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        rows: Index,
        keys: slice,
        heads: Index,
    ) -> tuple[Tensor, Tensor]:
        times = query.shape[1] // key.shape[1]
        key, value = (part.repeat_interleave(times, dim=1) for part in (key, value))
        scores = query @ key.transpose(-1, -2) * factor
        if mask is not None:
            scores = scores + mask
        attention = scores.softmax(-1)
        return (attention @ value).transpose(1, 2), attention

    def output() -> Tensor:
        return fast(
            query, key, value, attn_mask=attn_mask, is_causal=is_causal, scale=scale, **options
        ).transpose(1, 2)

    where = Mask(shape, query.dtype, query.device, mask)
    return Kernel(query, key, value, where, eager, output)
