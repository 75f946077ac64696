"""Learning gates, with the model as it is or trained along with them."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...capture import gate_heads, hooked
from ...errors import ModelError
from ...models import LoadedModel
from ...models.objectives import Objective, Texts, grouped_by_length
from ..knockout import head_grid
from .concrete import open_probability, sample_gates

#: Where log α starts: the model is the converged one, so most gates are open.
INITIAL = 2.0


@dataclass(frozen=True)
class Training:
    """How gates are learned."""

    steps: int
    learning_rate: float
    """Of the gates (Adam)."""
    batch: int
    """Texts a step."""
    model_learning_rate: float | None
    """Of the model's own weights (Adam), None where they stay as they are."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch"):
            if getattr(self, name) < 1:
                raise ModelError(f"{name} is {getattr(self, name)}; give at least 1.")
        rates = {"learning_rate": self.learning_rate}
        if self.model_learning_rate is not None:
            rates["model_learning_rate"] = self.model_learning_rate
        for name, rate in rates.items():
            if not 0 < rate < math.inf:
                raise ModelError(f"{name} is {rate}; give a number above 0.")


def learned(
    model: LoadedModel,
    objective: Objective,
    texts: Texts,
    penalty: float,
    training: Training,
    seed: int,
    bar: Any,
) -> tuple[Tensor, LoadedModel]:
    """Minimise the loss + `penalty` · Σ P(gate > 0) (Voita et al. 2019, section 6.1).

    Every text of a step draws gates of its own.

    Returns:
        log α (layer, head), and the model: a copy if it is trained as well.
    """
    own = _trainable(model, training)
    log_alpha = torch.full(head_grid(own.module), INITIAL, device=own.device, requires_grad=True)
    generator = torch.Generator(own.device).manual_seed(seed)
    gates = [{"params": [log_alpha], "lr": training.learning_rate}]
    _minimise(
        own, objective, texts, training, seed, bar, gates,
        draw=lambda count: sample_gates(log_alpha, count, generator),
        cost=lambda: penalty * open_probability(log_alpha).sum(),
    )  # fmt: skip
    return log_alpha.detach(), own


def trained_with(
    model: LoadedModel,
    objective: Objective,
    texts: Texts,
    gates: Tensor,
    training: Training,
    seed: int,
    bar: Any,
) -> LoadedModel:
    """A copy of the model, trained as in `learned` but with gates (layer, head) that stay."""
    own = _trainable(model, training)
    _minimise(
        own, objective, texts, training, seed, bar, [],
        draw=lambda count: gates.expand(count, -1, -1), cost=lambda: gates.new_zeros(()),
    )  # fmt: skip
    return own


def _trainable(model: LoadedModel, training: Training) -> LoadedModel:
    if training.model_learning_rate is None:
        return model
    return replace(model, module=copy.deepcopy(model.module), weights_sha256=None)


def _minimise(
    model: LoadedModel,
    objective: Objective,
    texts: Texts,
    training: Training,
    seed: int,
    bar: Any,
    groups: list[dict[str, Any]],
    *,
    draw: Callable[[int], Tensor],
    cost: Callable[[], Tensor],
) -> None:
    if training.model_learning_rate is not None:
        own = [one for one in model.module.parameters() if one.requires_grad]
        groups = [*groups, {"params": own, "lr": training.model_learning_rate}]
    parameters = [one for group in groups for one in group["params"]]
    optimizer = torch.optim.Adam(groups)
    choose = np.random.default_rng(seed)
    # The session reads this list anew in every pass.
    gates = list(draw(1).unbind(1))
    with torch.enable_grad(), hooked(model.module, gate_heads(gates)):
        for rows in _batches(texts, training, choose):
            inputs, targets = objective.batch(texts, rows, choose)
            gates[:] = draw(len(rows)).unbind(1)
            loss = objective.loss(model.module(**inputs).logits, targets) + cost()
            if not math.isfinite(loss.item()):
                raise ModelError(
                    f"Training diverged: the loss is {loss.item()}. Give a smaller learning_rate."
                )
            # Not backward(): a model that is not trained gets no gradients.
            found = torch.autograd.grad(loss, parameters, allow_unused=True)
            for parameter, gradient in zip(parameters, found, strict=True):
                parameter.grad = gradient
            optimizer.step()
            bar.update()
    for parameter in parameters:
        parameter.grad = None


def _batches(texts: Texts, training: Training, draw: np.random.Generator) -> Iterator[np.ndarray]:
    done = 0
    while True:
        for rows in grouped_by_length(texts.lengths, training.batch, draw):
            if done == training.steps:
                return
            yield rows
            done += 1
