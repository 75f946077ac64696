"""Gradient methods: how the target changes with the word embeddings.

Every method takes (model, encodings, goals, seed) and returns one signed score per token of
each text, shape (token,); scores are summed over the width of the embedding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from captum.attr import IntegratedGradients
from torch import Tensor

from ..capture import Batch
from ..capture.stream import batch_tokens
from ..corpora import Encoding
from .embeddings import replaced_embeddings, word_embeddings
from .goals import Goal, measure
from .running import stream_with

STEPS = 32
#: Scores that miss f(x) − f(x′) by more than this share are not integrated gradients.
TOLERANCE = 0.05


def input_x_gradient(
    model: Any, encodings: Sequence[Encoding], goals: Sequence[Goal], *, seed: int
) -> list[np.ndarray]:
    """x · ∂f/∂x summed over the width (Shrikumar et al. 2016, arXiv 1605.01713); draws nothing."""

    def run(batch: Batch, own: list[Goal]) -> list[np.ndarray]:
        leaves: list[Tensor] = []

        def as_leaf(output: Tensor) -> Tensor:
            leaves.append(output.detach().requires_grad_())
            return leaves[0]

        with torch.enable_grad(), replaced_embeddings(model.module, as_leaf):
            total = measure(model, batch, own).sum()
        (gradient,) = torch.autograd.grad(total, leaves[0])
        return _rows((leaves[0].detach() * gradient).sum(-1), batch)

    return stream_with(model, encodings, goals, run, description="input x gradient")


def integrated_gradients(
    model: Any, encodings: Sequence[Encoding], goals: Sequence[Goal], *, seed: int
) -> list[np.ndarray]:
    """Integrated gradients (Sundararajan et al. 2017, section 3); draws nothing.

    The path goes straight from zero vectors in the place of all word embeddings, special tokens
    included, while position and type embeddings stay; 32 Gauss–Legendre points.
    """
    run = partial(_integrate, model)
    return stream_with(model, encodings, goals, run, description="integrated gradients")


@dataclass(frozen=True)
class Completeness:
    """Whether the scores of one text add up to f(x) − f(x′), in units of the target."""

    total: float
    """Sum of the scores over all tokens."""
    difference: float
    """f(x) − f(x′), with x′ the zero baseline."""

    @property
    def error(self) -> float:
        """|total − difference|."""
        return abs(self.total - self.difference)

    @property
    def relative_error(self) -> float:
        """The error over |f(x) − f(x′)|, or over 1e-12 where that is smaller."""
        return self.error / max(abs(self.difference), 1e-12)

    @property
    def holds(self) -> bool:
        """Whether the relative error is at most 5 %.

        It is larger where the points do not follow the path: a model that normalises its word
        embeddings with nothing added to them (rotary positions, as in Llama) is as good as
        constant along it and jumps near the zero baseline.
        """
        return self.relative_error <= TOLERANCE


def completeness(
    model: Any,
    encodings: Sequence[Encoding],
    goals: Sequence[Goal],
    scores: Sequence[np.ndarray],
) -> list[Completeness]:
    """Check the scores of `integrated_gradients` against one more forward pass per text."""

    def run(batch: Batch, own: list[Goal]) -> list[float]:
        with torch.no_grad(), replaced_embeddings(model.module, torch.zeros_like):
            return measure(model, batch, own).tolist()

    baselines = stream_with(model, encodings, goals, run, description="completeness")
    return [
        Completeness(float(score.sum()), goal.value - baseline)
        for score, goal, baseline in zip(scores, goals, baselines, strict=True)
    ]


def _integrate(model: Any, batch: Batch, goals: list[Goal]) -> list[np.ndarray]:
    device = batch.mask.device

    def target(embeddings: Tensor, rows: Tensor) -> Tensor:
        # Captum repeats the batch along the path; `rows` says which text each repeat is of.
        numbers = rows.tolist()
        inputs = {name: tensor[rows] for name, tensor in batch.inputs.items()}
        repeated = Batch([batch.encodings[n] for n in numbers], inputs)
        with replaced_embeddings(model.module, lambda _: embeddings):
            return measure(model, repeated, [goals[n] for n in numbers])

    with torch.no_grad():
        embeddings = word_embeddings(model.module)(batch.inputs["input_ids"])
    at_once = max(len(batch), batch_tokens(model) // embeddings.shape[1])
    scores = IntegratedGradients(target, multiply_by_inputs=True).attribute(
        embeddings,
        baselines=torch.zeros_like(embeddings),
        additional_forward_args=(torch.arange(len(batch), device=device),),
        n_steps=STEPS,
        method="gausslegendre",
        internal_batch_size=at_once,
    )
    return _rows(scores.detach().sum(-1), batch)


def _rows(scores: Tensor, batch: Batch) -> list[np.ndarray]:
    """Each text's own tokens, without padding."""
    mask = batch.mask.bool()
    return [row[keep].double().cpu().numpy() for row, keep in zip(scores, mask, strict=True)]
