"""What is measured on a text: one number, differentiable, from one forward pass."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..capture import Batch, eval_mode
from ..errors import AttributionError

#: What is measured of a class or token; `margin` is its logit minus the best other one.
QUANTITIES = ("logit", "probability", "margin")
#: Of what the module returned and the batch it read, one number a text: (batch,).
Function = Callable[[Any, Batch], Tensor]


@dataclass(frozen=True)
class Goal:
    """What is measured on one example.

    Every method explains the same number, so it is fixed once, on the intact text.
    """

    kind: str
    """`class`, `masked token`, `next token`, `embedding`, `similarity` or `function`."""
    name: str
    """The class or the token, with a foil `positive - negative`, a quantity before it unless that
    is the logit (`margin of positive`); the name of a function; else the kind."""
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
    quantity: str = "logit"
    """What is measured of the class or token: `logit`, `probability` or `margin`."""
    chosen: str = "predicted"
    """Who chose the class or token: it was `predicted`, `given` by name, the `label` of the
    example, or `in the text` before it was masked; empty where there is none."""
    function: Function | None = None
    """The user's own function of the outputs."""


def measure(model: Any, batch: Batch, goals: Sequence[Goal]) -> Tensor:
    """The target of every text of a batch, shape (batch,), with its graph.

    The goals are of one `prepare`, so that all are of one quantity, or of one function, and all
    or none have a foil.

    A class or token goal is a logit, or a difference of two; or its probability, or its margin
    over the best other. `embedding` is the projection ⟨e, e₀⟩/‖e₀‖ of the mean-pooled last
    hidden state on the reference, `similarity` the cosine.

    Raises:
        AttributionError: a function returned anything but one number a text.
    """
    return of_outputs(model, outputs_of(model, batch), batch, goals)


def of_outputs(model: Any, outputs: Any, batch: Batch, goals: Sequence[Goal]) -> Tensor:
    """The target of every text of a batch from what the module returned, shape (batch,)."""
    if goals[0].function is not None:
        return applied(goals[0].function, outputs, batch)
    output = outputs[0].float()
    if goals[0].reference is not None:
        return _closeness(output, batch, goals)
    return of_logits(model, predicting_logits(output, batch, goals), goals)


def probability(model: Any, batch: Batch, goals: Sequence[Goal]) -> Tensor:
    """What erasing words is measured in, shape (batch,).

    The probability of the goal's class or token (with a foil: among the two). Where there is
    none: the projection divided by its intact value, the cosine as it is, and a user's function
    or the single output of a regression divided by its intact value.
    """
    intact = torch.tensor([goal.value for goal in goals], device=batch.mask.device)
    if goals[0].function is not None:
        return measure(model, batch, goals) / intact
    output = run(model, batch)
    if goals[0].reference is not None:
        scale = [1.0 if goal.kind == "similarity" else goal.value for goal in goals]
        return _closeness(output, batch, goals) / torch.tensor(scale, device=output.device)
    logits = predicting_logits(output, batch, goals)
    if logits.shape[1] == 1:
        return logits.squeeze(1) / intact
    return _probability(model, logits, goals)


def of_logits(model: Any, logits: Tensor, goals: Sequence[Goal]) -> Tensor:
    """The targets of class or token goals from the logits (batch, class), shape (batch,)."""
    if goals[0].quantity == "probability":
        return _probability(model, logits, goals)
    indices = [goal.index for goal in goals]
    value = _chosen(logits, indices)
    if goals[0].quantity == "margin":
        own = torch.nn.functional.one_hot(torch.tensor(indices), logits.shape[1]).bool()
        return value - logits.masked_fill(own.to(logits.device), -torch.inf).amax(1)
    foils = [goal.foil for goal in goals]
    return value if foils[0] is None else value - _chosen(logits, foils)


def applied(function: Function, outputs: Any, batch: Batch) -> Tensor:
    """A user's function of the outputs, (batch,).

    Raises:
        AttributionError: it returned anything but one number a text.
    """
    value = function(outputs, batch)
    if not isinstance(value, Tensor) or value.shape != (len(batch),):
        given = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise AttributionError(
            f"The target function returned {given} for a batch of {len(batch)} texts; it must "
            f"return a tensor of shape ({len(batch)},), one number a text."
        )
    return value.float()


def is_multi_label(model: Any) -> bool:
    """Whether the classes of a classifier do not exclude each other."""
    return getattr(model.config, "problem_type", None) == "multi_label_classification"


def outputs_of(model: Any, batch: Batch) -> Any:
    """What the module returns, in eval mode."""
    with eval_mode(model.module):
        return model.module(**batch.inputs)


def run(model: Any, batch: Batch) -> Tensor:
    """The first output of the model: logits, or the last hidden state of an encoder."""
    return outputs_of(model, batch)[0].float()


def mean_pooled(hidden: Tensor, mask: Tensor) -> Tensor:
    """(batch, hidden): the mean over the tokens, specials included, padding not."""
    weights = mask.to(hidden.dtype).unsqueeze(-1)
    return (hidden * weights).sum(1) / weights.sum(1)


def logits_at(output: Tensor, mask: Tensor, positions: Sequence[int]) -> Tensor:
    """(batch, vocabulary): the row of each text at its own token position."""
    start = mask.argmax(1)
    places = start + torch.tensor(positions, device=output.device)
    return output[torch.arange(len(positions), device=output.device), places]


def predicting_logits(output: Tensor, batch: Batch, goals: Sequence[Goal]) -> Tensor:
    """(batch, class or vocabulary entry) of the first output of a classifier or language model."""
    positions = [goal.position for goal in goals if goal.position is not None]
    return logits_at(output, batch.mask, positions) if positions else output


def _chosen(logits: Tensor, indices: Sequence[int | None]) -> Tensor:
    """The logit of each text's own index, (batch,)."""
    return logits.gather(1, torch.tensor(indices, device=logits.device).unsqueeze(1)).squeeze(1)


def _probability(model: Any, logits: Tensor, goals: Sequence[Goal]) -> Tensor:
    value = _chosen(logits, [goal.index for goal in goals])
    foils = [goal.foil for goal in goals]
    if foils[0] is not None:
        return torch.sigmoid(value - _chosen(logits, foils))
    if is_multi_label(model):
        return torch.sigmoid(value)
    return torch.exp(value - logits.logsumexp(1))


def _closeness(hidden: Tensor, batch: Batch, goals: Sequence[Goal]) -> Tensor:
    embedding = mean_pooled(hidden, batch.mask)
    reference = torch.stack([g.reference for g in goals if g.reference is not None])
    projection = (embedding * reference).sum(1) / reference.norm(dim=1)
    cosine = torch.tensor([goal.kind == "similarity" for goal in goals], device=hidden.device)
    return torch.where(cosine, projection / embedding.norm(dim=1), projection)
