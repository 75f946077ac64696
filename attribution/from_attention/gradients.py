"""Attention with its gradient: attention x gradient, and relevancy after Chefer et al. 2021."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...capture import Batch, Event, Hook, hooked
from ...capture.places import one_of_a_kind
from ...corpora import Encoding
from ...errors import AttributionError
from ..goals import Goal, measure
from ..running import stream_with


@dataclass(frozen=True)
class GradientMaps:
    """Attention and the gradient of the target with respect to it, of one text."""

    attention: np.ndarray
    """(layer, head, query, key)."""
    gradient: np.ndarray
    """(layer, head, query, key)."""

    @property
    def product(self) -> np.ndarray:
        """(layer, head, query, key): α ∂f/∂α."""
        return self.attention * self.gradient


def gradient_maps(
    model: Any, encodings: Sequence[Encoding], goals: Sequence[Goal]
) -> list[GradientMaps]:
    """One forward and one backward pass per text.

    Raises:
        AttributionError: the layers differ in their number of heads.
    """

    def run(batch: Batch, own: list[Goal]) -> list[GradientMaps]:
        kept: list[Tensor] = []

        def keep(event: Event) -> Tensor:
            attention = event.attention
            # The parameters may be frozen, and with them everything before this attention.
            if not attention.requires_grad:
                attention.requires_grad_()
            kept.append(attention)
            return attention

        # An edit, so that the head output is what this very tensor gives.
        hook = Hook(edit_attention=keep, check=one_of_a_kind)
        with torch.enable_grad(), hooked(model.module, hook):
            total = measure(model, batch, own).sum()
        if len({attention.shape for attention in kept}) > 1:
            raise AttributionError(
                f"The layers of {model.name} differ in their numbers of heads or keys; expected "
                "maps of one shape."
            )
        gradients = torch.stack(torch.autograd.grad(total, kept), 1).float().cpu().numpy()
        attentions = torch.stack([a.detach() for a in kept], 1).float().cpu().numpy()
        mask = batch.mask.bool().cpu().numpy()
        return [
            GradientMaps(*(of[row][..., own, :][..., own] for of in (attentions, gradients)))
            for row, own in enumerate(mask)
        ]

    return stream_with(model, encodings, goals, run, description="gradients of attention")


def attention_x_gradient(
    model: Any, encodings: Sequence[Encoding], goals: Sequence[Goal], *, seed: int
) -> list[np.ndarray]:
    """α ∂f/∂α, signed, summed over layers, heads and rows; draws nothing.

    The gradient itself says which rows the target depends on, so all rows count alike.
    """
    maps = gradient_maps(model, encodings, goals)
    return [own.product.sum((0, 1, 2), dtype=float) for own in maps]


def relevancy(
    model: Any,
    encodings: Sequence[Encoding],
    goals: Sequence[Goal],
    *,
    seed: int,
    start_layer: int = 0,
) -> list[np.ndarray]:
    """Relevancy of each token for the goal's rows (Chefer et al. 2021b); draws nothing.

    Args:
        start_layer: the first layer that counts. Published code for BERT starts at the last.

    Raises:
        AttributionError: no such layer.
    """
    maps = gradient_maps(model, encodings, goals)
    return [
        goal.rows @ relevancy_map(own, start_layer=start_layer)
        for own, goal in zip(maps, goals, strict=True)
    ]


def relevancy_map(maps: GradientMaps, *, start_layer: int = 0) -> np.ndarray:
    """(query, key): R ← R + ĀR from R = I, with Ā the mean over heads of (∇A ⊙ A)⁺.

    The rule of Chefer et al. 2021b (arXiv 2103.15679, section 3.1) for self-attention.

    Raises:
        AttributionError: no such layer.
    """
    layers, _, tokens, _ = maps.attention.shape
    if not 0 <= start_layer < layers:
        raise AttributionError(
            f"start_layer is {start_layer}; this model has layers 0 to {layers - 1}."
        )
    relevance = np.eye(tokens)
    for product in maps.product[start_layer:]:
        relevance += product.clip(min=0).mean(0, dtype=float) @ relevance
    return relevance
