"""Layer-wise relevance propagation through a transformer: AttnLRP and CP-LRP."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...capture import Batch
from ...capture.batch import collate
from ...corpora import Encoding
from ...errors import AttributionError
from ..embeddings import word_embeddings
from ..goals import Goal
from ..running import stream_with
from .gradients import Gradients, gradients, rows_of
from .relevance_rules import Rules

#: Keeps the ε-rule finite, and takes nothing that could be seen.
EPSILON = 1e-6
#: Texts on which conservation is shown before a model is explained.
PROOF = 2
#: Largest share of the relevance that may be lost, for weights in single precision and in half.
LOST, LOST_IN_HALF = 1e-3, 1e-1


def attn_lrp(
    model: Any,
    encodings: Sequence[Encoding],
    goals: Sequence[Goal],
    *,
    seed: int,
    epsilon: float = EPSILON,
) -> list[np.ndarray]:
    """AttnLRP (Achtibat et al. 2024, arXiv 2402.05602): relevance of the tokens (token,).

    The rules are those of `Rules`. Scores add up to the target less what biases, position and
    type embeddings and softmaxes take. One forward and one backward pass; draws nothing.

    Raises:
        AttributionError: the model, or the target, is not made of what there are rules for:
            relevance is not conserved on the first texts.
    """
    return _propagate(model, encodings, goals, epsilon, False, "AttnLRP")


def cp_lrp(
    model: Any,
    encodings: Sequence[Encoding],
    goals: Sequence[Goal],
    *,
    seed: int,
    epsilon: float = EPSILON,
) -> list[np.ndarray]:
    """LRP with the ε-rule where attention weights are constants (CP-LRP, Ali et al. 2022).

    As `attn_lrp`, but queries and keys get no relevance.
    """
    return _propagate(model, encodings, goals, epsilon, True, "CP-LRP")


@dataclass(frozen=True)
class Conservation:
    """Where the relevance of one text went, in units of the target."""

    target: float
    words: float
    """Sum of the scores of all tokens."""
    others: float
    """Biases, position and type embeddings."""
    absorbed: float
    """What softmaxes and ε did not pass on."""

    @property
    def lost(self) -> float:
        """|target − all parts|, as a share of the sum of their sizes."""
        parts = np.array([self.words, self.others, self.absorbed])
        total = abs(self.target) + np.abs(parts).sum()
        return float(abs(self.target - parts.sum()) / max(total, 1e-12))


def conservation(
    model: Any,
    encodings: Sequence[Encoding],
    goals: Sequence[Goal],
    *,
    epsilon: float = EPSILON,
    constant_attention: bool = False,
) -> list[Conservation]:
    """Follow the relevance of each text; one forward and one backward pass."""
    found = []
    for encoding, goal in zip(encodings, goals, strict=True):
        batch = collate([encoding], model)
        own, parameters, absorbed = _gradients(model, batch, [goal], epsilon, constant_attention)
        words = (own.embeddings * own.gradient).sum()
        others = sum(
            (p.detach().float() * g.float()).sum().item()
            for p, g in zip(parameters, own.parameters, strict=True)
        )
        lost = sum(part.float().item() for part in absorbed)
        found.append(Conservation(own.values.item(), words.item(), others, lost))
    return found


def _propagate(
    model: Any,
    encodings: Sequence[Encoding],
    goals: Sequence[Goal],
    epsilon: float,
    constant_attention: bool,
    name: str,
) -> list[np.ndarray]:
    proof = conservation(
        model,
        encodings[:PROOF],
        goals[:PROOF],
        epsilon=epsilon,
        constant_attention=constant_attention,
    )
    half = any(p.dtype in (torch.float16, torch.bfloat16) for p in model.module.parameters())
    for own in proof:
        if not own.lost <= (LOST_IN_HALF if half else LOST):
            raise AttributionError(
                f"{name} does not conserve relevance in {model.name}: of a target of "
                f"{own.target:.4g}, {own.lost:.1%} of all relevance is lost. The model, or the "
                "target, has an operation without a rule (targets must be logits, differences of "
                "logits or projections); use integrated gradients."
            )

    def run(batch: Batch, own: list[Goal]) -> list[np.ndarray]:
        found, _, _ = _gradients(model, batch, own, epsilon, constant_attention)
        return rows_of((found.embeddings * found.gradient).sum(-1), batch)

    return stream_with(model, encodings, goals, run, description=name)


def _gradients(
    model: Any, batch: Batch, goals: Sequence[Goal], epsilon: float, constant_attention: bool
) -> tuple[Gradients, list[Tensor], list[Tensor]]:
    """Gradients under the rules, the parameters that get relevance, and what was absorbed."""
    rules = Rules(model.module, epsilon, constant_attention=constant_attention)
    with _additive_parameters(model.module) as parameters, rules:
        found = gradients(model, batch, goals, parameters=parameters)
    return found, parameters, rules.absorbed


@contextmanager
def _additive_parameters(module: Any) -> Iterator[list[Tensor]]:
    """Inside, gradients flow to nothing but what is added: biases, and tables other than words'.

    A product with weights is then seen to have one factor that depends on the input, and a
    product of two activations two.
    """
    words = set(word_embeddings(module).parameters())
    embeddings = (part for part in module.modules() if isinstance(part, nn.Embedding))
    tables = {p for part in embeddings for p in part.parameters()} - words
    before = [(p, p.requires_grad) for p in module.parameters()]
    added = [
        p
        for name, p in module.named_parameters()
        if p.is_floating_point() and (name.split(".")[-1] == "bias" or p in tables)
    ]
    try:
        for p, _ in before:
            p.requires_grad_(False)
        for p in added:
            p.requires_grad_()
        yield added
    finally:
        for p, required in before:
            p.requires_grad_(required)
