"""Small steps of attention: weighing values, repeating shared heads, choosing rows."""

from collections.abc import Sequence

import torch
from torch import Tensor


def weigh(attention: Tensor, value: Tensor) -> Tensor:
    """Head output (batch, query, head, width): attention (batch, head, query, key) times value."""
    return (attention.to(value.dtype) @ value).transpose(1, 2).contiguous()


def repeated(shared: Tensor, heads: int) -> Tensor:
    """Key or value heads repeated until there is one for each query head."""
    times = heads // shared.shape[1]
    return shared.repeat_interleave(times, dim=1) if times > 1 else shared


def pick(
    attention: Tensor, visible: Tensor, heads: Sequence[int] | None, queries: Sequence[int] | None
) -> tuple[Tensor, Tensor]:
    """Chosen heads and rows of a map and of its mask."""
    if heads is not None:
        attention = attention[:, list(heads)]
    if queries is not None:
        attention, visible = attention[:, :, list(queries)], visible[:, :, list(queries)]
    return attention, visible


def seen(visible: Tensor) -> slice:
    """The range of keys outside of which no row sees anything."""
    # Reductions of bytes are vectorised, those of booleans are not.
    seen = visible.flatten(0, -2).view(torch.uint8).amax(0).nonzero()
    return slice(int(seen[0]), int(seen[-1]) + 1) if len(seen) else slice(0, visible.shape[-1])
