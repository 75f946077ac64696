"""What is measured on a text: one number, differentiable, from one forward pass."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..capture import Batch, eval_mode


@dataclass(frozen=True)
class Goal:
    """What is measured on one example.

    Every method explains the same number, so it is fixed once, on the intact text.
    """

    kind: str
    """`class`, `masked token`, `next token`, `embedding` or `similarity`."""
    name: str
    """The class or the token, with a foil `positive - negative`; else the kind."""
    value: float
    """The target on the intact text."""
    rows: np.ndarray
    """(token,) weights that sum to 1: the rows that attention is read from."""
    scored: np.ndarray
    """(token,) bool: tokens that may get a score. Specials and the masked word may not."""
    index: int | None = None
    """The class or the vocabulary entry whose logit is the target."""
    foil: int | None = None
    """The class or the vocabulary entry whose logit is subtracted."""
    position: int | None = None
    """The token whose row predicts (masked or next token)."""
    reference: Tensor | None = None
    """(hidden,) embedding that the text's embedding is compared with, held constant."""


def measure(model: Any, batch: Batch, goals: Sequence[Goal]) -> Tensor:
    """The target of every text of a batch, shape (batch,), with its graph.

    The goals are of one `prepare`, so that all or none have a foil.

    A class or token goal is a logit, or a difference of two; `embedding` is the projection
    ⟨e, e₀⟩/‖e₀‖ of the mean-pooled last hidden state on the reference, `similarity` the cosine.
    """
    output = run(model, batch)
    if goals[0].reference is not None:
        return _closeness(output, batch, goals)
    logits = _predicting_logits(output, batch, goals)
    value = _chosen(logits, [goal.index for goal in goals])
    foils = [goal.foil for goal in goals]
    return value if foils[0] is None else value - _chosen(logits, foils)


def probability(model: Any, batch: Batch, goals: Sequence[Goal]) -> Tensor:
    """What erasing words is measured in, shape (batch,).

    The probability of the goal's class or token (with a foil: among the two). Where there is
    none: the projection divided by its intact value, the cosine as it is, and the single output
    of a regression divided by its intact value.
    """
    output = run(model, batch)
    intact = torch.tensor([goal.value for goal in goals], device=output.device)
    if goals[0].reference is not None:
        scale = [1.0 if goal.kind == "similarity" else goal.value for goal in goals]
        return _closeness(output, batch, goals) / torch.tensor(scale, device=output.device)
    logits = _predicting_logits(output, batch, goals)
    value = _chosen(logits, [goal.index for goal in goals])
    foils = [goal.foil for goal in goals]
    if foils[0] is not None:
        return torch.sigmoid(value - _chosen(logits, foils))
    if logits.shape[1] == 1:
        return value / intact
    if getattr(model.config, "problem_type", None) == "multi_label_classification":
        return torch.sigmoid(value)
    return torch.exp(value - logits.logsumexp(1))


def run(model: Any, batch: Batch) -> Tensor:
    """The first output of the model: logits, or the last hidden state of an encoder."""
    with eval_mode(model.module):
        return model.module(**batch.inputs)[0].float()


def mean_pooled(hidden: Tensor, mask: Tensor) -> Tensor:
    """(batch, hidden): the mean over the tokens, specials included, padding not."""
    weights = mask.to(hidden.dtype).unsqueeze(-1)
    return (hidden * weights).sum(1) / weights.sum(1)


def logits_at(output: Tensor, mask: Tensor, positions: Sequence[int]) -> Tensor:
    """(batch, vocabulary): the row of each text at its own token position."""
    start = mask.argmax(1)
    places = start + torch.tensor(positions, device=output.device)
    return output[torch.arange(len(positions), device=output.device), places]


def _predicting_logits(output: Tensor, batch: Batch, goals: Sequence[Goal]) -> Tensor:
    positions = [goal.position for goal in goals if goal.position is not None]
    return logits_at(output, batch.mask, positions) if positions else output


def _chosen(logits: Tensor, indices: Sequence[int | None]) -> Tensor:
    return logits.gather(1, torch.tensor(indices, device=logits.device).unsqueeze(1)).squeeze(1)


def _closeness(hidden: Tensor, batch: Batch, goals: Sequence[Goal]) -> Tensor:
    embedding = mean_pooled(hidden, batch.mask)
    reference = torch.stack([g.reference for g in goals if g.reference is not None])
    projection = (embedding * reference).sum(1) / reference.norm(dim=1)
    cosine = torch.tensor([goal.kind == "similarity" for goal in goals], device=hidden.device)
    return torch.where(cosine, projection / embedding.norm(dim=1), projection)
