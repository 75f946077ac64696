"""Norms with the residual and the layer norms, and how much a block mixes tokens.

Kobayashi et al. 2021 (arXiv 2109.07152) for attention with its residual and layer norm, GlobEnc
(Modarressi et al. 2022, arXiv 2205.03286) for the whole block but its feed-forward part.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...capture import Batch
from ...corpora import Encoding
from ..goals import Goal
from ..running import stream_with
from .blocks import find_encoder
from .joining import join, product
from .layers import Layer, own_terms, read_layers
from .linear import normalised


@dataclass(frozen=True)
class Mixing:
    """‖Σ_{j≠i}‖ / (‖Σ_{j≠i}‖ + ‖i‖) of each row i of one text; each (layer, token).

    The share of a token's new state that comes from other tokens (Kobayashi et al. 2021),
    with more and more of the block in it. 0 where both norms are 0.
    """

    weights: np.ndarray
    """Attention weights, averaged over the heads."""
    norms: np.ndarray
    """Σ_h α f(x_j)."""
    weights_residual: np.ndarray
    """Attention weights with the residual as ½W + ½I."""
    norms_residual: np.ndarray
    """Σ_h α f(x_j), and x_i itself."""
    norms_residual_norm: np.ndarray
    """The same after the layer norm."""


@dataclass(frozen=True)
class ResidualMaps:
    """Norms of what each token's vector holds of each other token, in one text."""

    residual: np.ndarray
    """(layer, query, key): ‖Σ_h α f(x_j) + δ_ij x_i‖."""
    norm: np.ndarray
    """(layer, query, key): the same vectors after the layer norm."""
    block: np.ndarray
    """(layer, query, key): the same after the second layer norm (GlobEnc); what the
    feed-forward part adds is left out, and is in the standard deviation."""
    mixing: Mixing


def residual_maps(model: Any, encodings: Sequence[Encoding]) -> list[ResidualMaps]:
    """One forward pass per text, for encoders whose norms follow each addition.

    Raises:
        CaptureError: the model is no such encoder.
    """
    encoder = find_encoder(model.module)

    def run(batch: Batch, _: list[None]) -> list[ResidualMaps]:
        found: list[list[dict[str, Tensor]]] = [[] for _ in batch.encodings]
        read_layers(model, encoder, batch, lambda text, layer: found[text].append(_measure(layer)))
        return [_stacked(own) for own in found]

    nothing = [None] * len(encodings)
    return stream_with(model, encodings, nothing, run, description="norms with residual")


def attention_norms_residual(
    model: Any, encodings: Sequence[Encoding], goals: Sequence[Goal], *, seed: int
) -> list[np.ndarray]:
    """Norms after residual and layer norm, rows normalised, multiplied over layers.

    Read at the goal's rows. The vectors hold the residual, so no identity is added. Draws
    nothing.
    """
    maps = residual_maps(model, encodings)
    return [goal.rows @ join(own.norm).joined for own, goal in zip(maps, goals, strict=True)]


def globenc(
    model: Any, encodings: Sequence[Encoding], goals: Sequence[Goal], *, seed: int
) -> list[np.ndarray]:
    """GlobEnc: norms after the second layer norm, multiplied over layers; draws nothing.

    As published code has it, rows are not normalised and no identity is added.
    """
    maps = residual_maps(model, encodings)
    return [goal.rows @ product(own.block) for own, goal in zip(maps, goals, strict=True)]


def _measure(layer: Layer) -> dict[str, Tensor]:
    parts = layer.parts
    weights = layer.attention.mean(0).diagonal()
    found: dict[str, list[Tensor]] = {}

    def keep(**tensors: Tensor) -> None:
        for name, tensor in tensors.items():
            found.setdefault(name, []).append(tensor)

    for rows, terms in layer.from_attention(layer.transformed()):
        keep(norms=_ratio(terms, rows))
        own_terms(terms, rows).add_(layer.read[rows])
        keep(residual=terms.norm(dim=-1), norms_residual=_ratio(terms, rows))
        normed = normalised(terms, layer.mixed[rows], parts.attention_norm)
        keep(norm=normed.norm(dim=-1), norms_residual_norm=_ratio(normed, rows))
        block = normalised(normed, layer.added[rows], parts.output_norm)
        keep(block=block.norm(dim=-1))
    measured = {name: torch.cat(tensors) for name, tensors in found.items()}
    return measured | {"weights": 1 - weights, "weights_residual": (1 - weights) / 2}


def _ratio(terms: Tensor, rows: slice) -> Tensor:
    """Mixing ratio of each row: (row,), from (row, key, hidden)."""
    own = own_terms(terms, rows)
    others = (terms.sum(1) - own).norm(dim=-1)
    both = others + own.norm(dim=-1)
    return torch.where(both > 0, others / both.where(both > 0, 1.0), 0.0)


def _stacked(layers: list[dict[str, Tensor]]) -> ResidualMaps:
    stacked = {
        name: torch.stack([layer[name] for layer in layers]).double().cpu().numpy()
        for name in layers[0]
    }
    mixing = Mixing(**{one.name: stacked[one.name] for one in fields(Mixing)})
    return ResidualMaps(stacked["residual"], stacked["norm"], stacked["block"], mixing)
