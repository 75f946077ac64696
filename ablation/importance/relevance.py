"""How much of the target goes through a head (Voita et al. 2019, section 4)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...attribution.embeddings import replaced_embeddings
from ...attribution.methods.relevance import EPSILON, PROOF, attn_lrp
from ...attribution.methods.relevance_rules import Rules
from ...attribution.running import stream_with
from ...attribution.targets import Goal, measure
from ...capture import Batch, Event, Hook, hooked
from ...capture.places import one_of_a_kind
from ...corpora import Encoding
from ..knockout import head_grid
from .gradients import refuse_nothing


def relevance(
    model: Any, encodings: Sequence[Encoding], goals: Sequence[Goal], *, seed: int
) -> np.ndarray:
    """|R| of every head as a share of its layer, (example, layer, head); each layer sums to 1.

    R is the relevance of the head's outputs, summed over positions and width. The rules are those
    of AttnLRP (Achtibat et al. 2024), not the αβ-rule of the paper, whose relevances are of one
    sign more often. A layer without any relevance is 0.

    Raises:
        AttributionError: relevance is not conserved: the model, or the target, has an operation
            without a rule.
    """
    sizes = np.abs(signed_relevance(model, encodings, goals, seed=seed))
    total = sizes.sum(-1, keepdims=True)
    return np.divide(sizes, total, out=np.zeros_like(sizes), where=total > 0)


def signed_relevance(
    model: Any, encodings: Sequence[Encoding], goals: Sequence[Goal], *, seed: int
) -> np.ndarray:
    """R of every head in units of the target: (example, layer, head).

    Raises:
        AttributionError: relevance is not conserved.
    """
    refuse_nothing(encodings)
    head_grid(model.module)
    # It refuses models in which relevance gets lost.
    attn_lrp(model, encodings[:PROOF], goals[:PROOF], seed=seed)

    def run(batch: Batch, own: list[Goal]) -> list[np.ndarray]:
        return list(_of_batch(model, batch, own))

    return np.stack(stream_with(model, encodings, goals, run, description="head relevance"))


def _of_batch(model: Any, batch: Batch, goals: Sequence[Goal]) -> np.ndarray:
    outputs: dict[int, Tensor] = {}

    def keep(event: Event) -> Tensor:
        outputs[event.site.layer] = event.head_output
        return outputs[event.site.layer]

    module = model.module
    hook = Hook(edit_output=keep, check=one_of_a_kind)
    with (
        torch.enable_grad(),
        hooked(module, hook),
        _frozen(module),
        replaced_embeddings(module, lambda words: words.detach().requires_grad_()),
        Rules(module, EPSILON, constant_attention=False),
    ):
        total = measure(model, batch, goals).sum()
        layers = [outputs[layer] for layer in sorted(outputs)]
        gradients = torch.autograd.grad(total, layers, materialize_grads=True)
    relevances = [
        (z.detach().float() * g.float()).sum((1, 3)) for z, g in zip(layers, gradients, strict=True)
    ]
    return torch.stack(relevances, 1).cpu().numpy()


@contextmanager
def _frozen(module: Any) -> Iterator[None]:
    """A product with weights must be seen to have one factor that depends on the input."""
    before = [(p, p.requires_grad) for p in module.parameters()]
    try:
        for parameter, _ in before:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, required in before:
            parameter.requires_grad_(required)
