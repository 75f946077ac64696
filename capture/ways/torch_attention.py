"""torch's own `nn.MultiheadAttention`, alone or inside `nn.TransformerEncoder` and its like.

torch computes it in one function that nothing can look into. While a session is open the module
computes the same from its weights, step by step. torch's fused encoder layers pass the module
by, so they are switched off meanwhile: at padding, where they put zeros, outputs are then what
they are in training.
"""

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import CaptureError
from .dense import heads_first
from .explicit import explicit
from .watching import Call

_lock = threading.Lock()
#: How many blocks are open in which fused layers are off, and whether they were on before.
_open = 0
_was_on = True


@contextmanager
def unfused(module: Any) -> Iterator[None]:
    """Keep torch from fusing encoder layers, if the module has attention of torch's own."""
    global _open, _was_on
    if not any(isinstance(part, nn.MultiheadAttention) for part in module.modules()):
        yield
        return
    with _lock:
        if _open == 0:
            _was_on = torch.backends.mha.get_fastpath_enabled()
            torch.backends.mha.set_fastpath_enabled(False)
        _open += 1
    try:
        yield
    finally:
        with _lock:
            _open -= 1
            if _open == 0:
                torch.backends.mha.set_fastpath_enabled(_was_on)


@contextmanager
def multihead(call: Call) -> Iterator[None]:
    """Let an `nn.MultiheadAttention` compute its attention step by step."""
    part = call.part
    if part.bias_k is not None or part.add_zero_attn:
        raise CaptureError(
            "This MultiheadAttention was made with add_bias_kv or add_zero_attn: one of its keys "
            "is no token, so its attention cannot be captured. Make it without them."
        )

    def forward(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        batched = query.dim() == 3
        given = [query, key, value]
        if not batched:
            given = [states.unsqueeze(0) for states in given]
            key_padding_mask = None if key_padding_mask is None else key_padding_mask[None]
        elif not part.batch_first:
            given = [states.transpose(0, 1) for states in given]
        projected = [
            heads_first(states, part.num_heads)
            for states in map(functional.linear, given, *_weights(part))
        ]
        names = ("query", "key", "value")
        computation = explicit(
            functional.scaled_dot_product_attention,
            **dict(zip(names, projected, strict=True)),
            attn_mask=_mask(attn_mask, key_padding_mask, projected[0]),
            is_causal=is_causal and attn_mask is None,
            scale=None,
        )
        call.tell(computation)
        output = part.out_proj(computation.head_output.flatten(2))
        weights = computation.attention if need_weights else None
        if weights is not None and average_attn_weights:
            weights = weights.mean(1)
        if not batched:
            return output[0], None if weights is None else weights[0]
        return output if part.batch_first else output.transpose(0, 1), weights

    own = part.__dict__.get("forward")
    with unfused(part):
        part.forward = forward
        try:
            yield
        finally:
            del part.forward
            if own is not None:
                part.forward = own


def _weights(part: Any) -> tuple[list[Tensor], list[Tensor | None]]:
    """Weights and biases of the projections of query, key and value."""
    if part.in_proj_weight is not None:
        weights = list(part.in_proj_weight.chunk(3))
    else:
        weights = [part.q_proj_weight, part.k_proj_weight, part.v_proj_weight]
    bias = part.in_proj_bias
    return weights, [None] * 3 if bias is None else list(bias.chunk(3))


def _mask(mask: Tensor | None, padding: Tensor | None, query: Tensor) -> Tensor | None:
    """Both masks as one to add: (batch or 1, head or 1, query, key); True means hidden here."""
    batch, heads = query.shape[:2]
    masks = [] if padding is None else [padding[:, None, None]]
    if mask is not None:
        masks.append(mask.unflatten(0, (batch, heads)) if mask.dim() == 3 else mask[None, None])
    added = [_hidden(one, query.dtype) for one in masks]
    return functools.reduce(torch.add, added) if added else None


def _hidden(mask: Tensor, dtype: torch.dtype) -> Tensor:
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(mask, -torch.inf)
