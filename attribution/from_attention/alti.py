"""ALTI: how near each token's part of a state is to the whole (Ferrando et al. 2022).

arXiv 2203.04212, section 3.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...capture import Batch
from ...corpora import Encoding
from ..goals import Goal
from ..running import stream_with
from .blocks import find_encoder
from .joining import Joined, join
from .layers import Layer, own_terms, read_layers
from .linear import normalised


def alti(
    model: Any, encodings: Sequence[Encoding], goals: Sequence[Goal], *, seed: int
) -> list[np.ndarray]:
    """ALTI maps multiplied over the layers, read at the goal's rows; draws nothing."""
    maps = alti_maps(model, encodings)
    return [goal.rows @ own.joined for own, goal in zip(maps, goals, strict=True)]


def alti_maps(model: Any, encodings: Sequence[Encoding]) -> list[Joined]:
    """One forward pass per text, for encoders whose norms follow each addition.

    Raises:
        CaptureError: the model is no such encoder.
    """
    encoder = find_encoder(model.module)

    def run(batch: Batch, _: list[None]) -> list[Joined]:
        found: list[list[Tensor]] = [[] for _ in batch.encodings]
        read_layers(model, encoder, batch, lambda text, layer: found[text].append(_nearness(layer)))
        return [join(torch.stack(own).double().cpu().numpy()) for own in found]

    nothing = [None] * len(encodings)
    return stream_with(model, encodings, nothing, run, description="ALTI")


def nearness(whole: Tensor, terms: Tensor) -> Tensor:
    """max(0, ‖y‖₁ − ‖y − T(x_j)‖₁): (…, term), from (…, hidden), (…, term, hidden)."""
    rest = (whole[..., None, :] - terms).abs().sum(-1)
    return (whole.abs().sum(-1, keepdim=True) - rest).clamp(min=0)


def _nearness(layer: Layer) -> Tensor:
    """(query, key) of the state after attention, its residual and its layer norm."""
    blocks = []
    for rows, terms in layer.from_attention(layer.transformed()):
        own_terms(terms, rows).add_(layer.read[rows])
        terms = normalised(terms, layer.mixed[rows], layer.parts.attention_norm)
        blocks.append(nearness(layer.normed[rows], terms))
    return torch.cat(blocks)
