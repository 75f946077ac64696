"""Attention of whole models as it is compared: all rows, and what people read."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ...capture import Batch
from ..divergences import jensen_shannon
from ..goals import Goal


def read_rows(batch: Batch, goals: Sequence[Goal]) -> Tensor:
    """(batch, query) the weights of the goals' rows, 0 on padding."""
    rows = torch.zeros(batch.mask.shape)
    rows[batch.mask.bool().cpu()] = torch.from_numpy(
        np.concatenate([g.rows for g in goals])
    ).float()
    return rows.to(batch.mask.device)


def read_attention(maps: Sequence[Tensor], rows: Tensor) -> Tensor:
    """What people read, (batch, key): the goal's rows, averaged over the heads of the layers.

    Args:
        maps: for each layer (batch, head, query, key).
        rows: (batch, query), see `read_rows`.
    """
    # Rows of padding may hold anything, NaN included.
    there = rows[:, None, :, None] > 0
    read = [torch.einsum("bq,bhqk->bhk", rows, m.float().where(there, 0.0)) for m in maps]
    return torch.cat(read, 1).mean(1)


def mean_over_rows(values: Sequence[Tensor], mask: Tensor) -> Tensor:
    """Means over all heads and real rows, (batch,), of one (batch, head, query) for each layer."""
    by_row = torch.cat(list(values), 1).mean(1)
    real = mask.bool()
    return by_row.where(real, 0.0).sum(1) / real.sum(1)


def map_divergence(first: Sequence[Tensor], second: Sequence[Tensor], mask: Tensor) -> Tensor:
    """Jensen–Shannon divergence of two models' maps, (batch,): mean over heads and real rows.

    Args:
        first, second: for each layer (batch, head, query, key).
        mask: (batch, query), 1 for tokens.
    """
    real = mask.bool()[:, None, :, None]
    pairs = zip(first, second, strict=True)
    apart = [
        jensen_shannon(a.float().where(real, 1.0), b.float().where(real, 1.0)) for a, b in pairs
    ]
    return mean_over_rows(apart, mask)


def largest_divergence(attention: Tensor, visible: Tensor) -> Tensor:
    """The largest Jensen–Shannon divergence from each row (…, key) that a distribution can have.

    It is convex, so that one with all weight on the least attended visible key is farthest.
    """
    least = attention.masked_fill(~visible, torch.inf).amin(-1)
    # Rows that see nothing are of padding.
    least = least.where(visible.any(-1), 1.0)
    middle = torch.log((1 + least) / 2)
    return ((1 - least) * np.log(2) + torch.xlogy(least, least) - least * middle - middle) / 2
