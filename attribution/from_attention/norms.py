"""Attention weighed by the vectors it carries (Kobayashi et al. 2020, arXiv 2004.10102)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...capture import Batch, Event, Hook, find_sites, hooked
from ...capture.places import one_of_a_kind
from ...capture.projection import output_weights
from ...corpora import Encoding
from ..goals import Goal
from ..running import stream_with
from .layers import row_blocks


@dataclass(frozen=True)
class NormMaps:
    """Norms of what attention carries from each token to each other, in one text."""

    heads: np.ndarray
    """(layer, head, query, key): ‖α f(x_j)‖, with f(x) = (x W_V + b_V) W_O of the head."""
    layers: np.ndarray
    """(layer, query, key): ‖Σ_h α f(x_j)‖."""


def norm_maps(model: Any, encodings: Sequence[Encoding]) -> list[NormMaps]:
    """One forward pass per text; any model whose output projection can be found.

    Raises:
        CaptureError: no linear map reads the head outputs, or layers differ in their heads.
    """
    weights = {site: output_weights(model.module, site) for site in find_sites(model.module)}

    def run(batch: Batch, _: list[None]) -> list[NormMaps]:
        heads: list[Tensor] = []
        layers: list[Tensor] = []

        def observe(event: Event) -> None:
            own = weights[event.site].detach().float()
            attention = event.attention.float()
            transformed = torch.einsum("bhkw,hwd->bhkd", event.value.float(), own)
            heads.append(attention * transformed.norm(dim=-1)[:, :, None])
            layers.append(_summed(attention, transformed))

        with torch.no_grad(), hooked(model.module, Hook(observe=observe, check=one_of_a_kind)):
            model.module(**batch.inputs)
        by_head, by_layer = (torch.stack(m, 1).double().cpu().numpy() for m in (heads, layers))
        return [
            NormMaps(by_head[row][..., keep, :][..., keep], by_layer[row][:, keep][:, :, keep])
            for row, keep in enumerate(batch.mask.bool().cpu().numpy())
        ]

    nothing = [None] * len(encodings)
    return stream_with(model, encodings, nothing, run, description="norms")


def attention_norms(
    model: Any, encodings: Sequence[Encoding], goals: Sequence[Goal], *, seed: int
) -> list[np.ndarray]:
    """‖Σ_h α f(x_j)‖ from the goal's rows, averaged over the layers; draws nothing."""
    maps = norm_maps(model, encodings)
    return [goal.rows @ own.layers.mean(0) for own, goal in zip(maps, goals, strict=True)]


def _summed(attention: Tensor, transformed: Tensor) -> Tensor:
    """‖Σ_h α f(x_j)‖, (batch, query, key); the vectors exist for some rows at a time."""
    batch, _, queries, _ = attention.shape
    row_size = batch * transformed.shape[2] * transformed.shape[3]
    return torch.cat([
        torch.einsum("bhqk,bhkd->bqkd", attention[:, :, rows], transformed).norm(dim=-1)
        for rows in row_blocks(queries, row_size)
    ], 1)  # fmt: skip
