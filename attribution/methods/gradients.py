"""Gradients of the target with respect to the word embeddings, and the scores of one pass.

Every method takes (model, encodings, goals, seed) and returns one signed score per token of
each text, shape (token,). Special tokens have a gradient too and get their scores.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...capture import Batch
from ...corpora import Encoding
from ..embeddings import replaced_embeddings
from ..goals import Goal, measure
from ..running import stream_with


@dataclass(frozen=True)
class Gradients:
    """The gradient of each text's target at one place, in single precision."""

    embeddings: Tensor
    """(batch, token, width): the word embeddings of the text itself."""
    gradient: Tensor
    """(batch, token, width), taken at the place that was asked for."""
    values: Tensor
    """(batch,): the target there."""
    parameters: tuple[Tensor, ...] = ()
    """The gradients of the sum of the targets with respect to parameters asked for."""


def gradients(
    model: Any,
    batch: Batch,
    goals: Sequence[Goal],
    place: Callable[[Tensor], Tensor] = torch.Tensor.detach,
    parameters: Sequence[Tensor] = (),
) -> Gradients:
    """One forward and one backward pass.

    Args:
        place: of the word embeddings (batch, token, width), where to take the gradient
            (default: there). Position and type embeddings stay as they are.
    """
    found: list[Tensor] = []

    def at_place(output: Tensor) -> Tensor:
        found[:] = [output.detach(), place(output.detach()).to(output.dtype).requires_grad_()]
        return found[1]

    with torch.enable_grad(), replaced_embeddings(model.module, at_place):
        values = measure(model, batch, goals)
    embeddings, leaf = found
    if values.requires_grad:
        gradient, *others = torch.autograd.grad(
            values, [leaf, *parameters], torch.ones_like(values), materialize_grads=True
        )
    else:
        gradient, *others = (torch.zeros_like(one) for one in (leaf, *parameters))
    return Gradients(embeddings.float(), gradient.float(), values.detach(), tuple(others))


def input_x_gradient(
    model: Any, encodings: Sequence[Encoding], goals: Sequence[Goal], *, seed: int
) -> list[np.ndarray]:
    """x · ∂f/∂x summed over the width (Shrikumar et al. 2016, arXiv 1605.01713); draws nothing."""

    def run(batch: Batch, own: list[Goal]) -> list[np.ndarray]:
        found = gradients(model, batch, own)
        return rows_of((found.embeddings * found.gradient).sum(-1), batch)

    return stream_with(model, encodings, goals, run, description="input x gradient")


def gradient_norm(
    model: Any, encodings: Sequence[Encoding], goals: Sequence[Goal], *, seed: int
) -> list[np.ndarray]:
    """‖∂f/∂x‖₂ over the width (Simonyan et al. 2014, arXiv 1312.6034); draws nothing.

    The norm destroys the sign, and with it completeness: a score says how much a token matters,
    not in which direction, and the scores add up to nothing.
    """

    def run(batch: Batch, own: list[Goal]) -> list[np.ndarray]:
        return rows_of(gradients(model, batch, own).gradient.norm(dim=-1), batch)

    return stream_with(model, encodings, goals, run, description="gradient norm")


def rows_of(scores: Tensor, batch: Batch) -> list[np.ndarray]:
    """Each text's own tokens (token,) of scores (batch, token), without padding."""
    mask = batch.mask.bool()
    return [row[keep].double().cpu().numpy() for row, keep in zip(scores, mask, strict=True)]
