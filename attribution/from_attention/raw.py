"""What attention says about a text: raw, averaged, and rolled out over layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...capture import Batch, Event, Hook, find_sites, hooked
from ...corpora import Encoding
from ...errors import AttributionError
from ..goals import Goal
from ..running import stream_with


@dataclass(frozen=True)
class AttentionScores:
    """Attention from the goal's rows to each token of one text; each row sums to 1."""

    layers: np.ndarray
    """(head,) the layer of each head; all heads of a model in one list."""
    heads: np.ndarray
    """(head,) the number of each head within its layer."""
    attention: np.ndarray
    """(head, token)."""
    columns: np.ndarray
    """(head, token) attention to each token, averaged over all rows of the text."""
    rollout: np.ndarray
    """(token,) attention rollout (Abnar & Zuidema 2020)."""

    @property
    def mean(self) -> np.ndarray:
        """(token,) mean over all heads of all layers."""
        return self.attention.mean(0)

    @property
    def last(self) -> np.ndarray:
        """(token,) mean over the heads of the last layer."""
        return self.attention[self.layers == self.layers.max()].mean(0)


def attention_scores(
    model: Any, encodings: Sequence[Encoding], goals: Sequence[Goal]
) -> list[AttentionScores]:
    """One forward pass per text; of each layer only the goal's rows and the head mean are kept."""
    sites = find_sites(model.module)
    layers = np.concatenate([np.full(site.heads, site.layer) for site in sites])
    heads = np.concatenate([np.arange(site.heads) for site in sites])

    def run(batch: Batch, own: list[Goal]) -> list[AttentionScores]:
        attention, columns, rolled = _read(model, batch, own)
        mask = batch.mask.bool().cpu().numpy()
        return [
            AttentionScores(
                layers, heads, attention[row][:, keep], columns[row][:, keep], rolled[row][keep]
            )
            for row, keep in enumerate(mask)
        ]

    return stream_with(model, encodings, goals, run, description="attention")


def rollout(head_means: Sequence[Tensor]) -> Tensor:
    """Attention rollout of one or more texts (Abnar & Zuidema 2020, section 3).

    Each layer is Ã = ½W + ½I, and a later layer multiplies from the left.

    Args:
        head_means: for each layer, first to last, attention averaged over its heads
            (…, query, key).

    Returns:
        (…, query, key), rows sum to 1.

    Raises:
        AttributionError: no layer is given.
    """
    rolled = None
    for mean in head_means:
        rolled = _roll(rolled, mean)
    if rolled is None:
        raise AttributionError("rollout was given no layer; give the head mean of each layer.")
    return rolled


def _read(model: Any, batch: Batch, goals: list[Goal]) -> tuple[np.ndarray, ...]:
    """Of the goals' rows and of all rows (batch, head, token), and rolled out (batch, token)."""
    valid = batch.mask.bool()
    rows = torch.zeros(batch.mask.shape, dtype=torch.float32)
    rows[valid.cpu()] = torch.from_numpy(np.concatenate([g.rows for g in goals])).float()
    rows = rows.to(batch.mask.device)
    read: list[Tensor] = []
    columns: list[Tensor] = []
    rolled: list[Tensor] = []

    def observe(event: Event) -> None:
        # Rows of padding may hold anything, NaN included, and must not reach a product.
        attention = event.attention.float().where(valid[:, None, :, None], 0.0)
        read.append(torch.einsum("bq,bhqk->bhk", rows, attention))
        columns.append(attention.sum(2) / valid.sum(1)[:, None, None])
        rolled[:] = [_roll(rolled[0] if rolled else None, attention.mean(1))]

    with torch.no_grad(), hooked(model.module, Hook(observe=observe)):
        model.module(**batch.inputs)
    reach = torch.einsum("bq,bqk->bk", rows, rolled[0])
    found = torch.cat(read, 1), torch.cat(columns, 1), reach
    return tuple(one.double().cpu().numpy() for one in found)


def _roll(rolled: Tensor | None, mean: Tensor) -> Tensor:
    identity = torch.eye(mean.shape[-1], dtype=mean.dtype, device=mean.device)
    mixed = (mean + identity) / 2
    return mixed if rolled is None else mixed @ rolled
