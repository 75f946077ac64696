"""What is read off a forward pass: the statistics of each text of a batch, for one metric.

A reader is called with the model, what its module returned, the batch, and what is wanted of each
text (a goal, a class, a value, token ids); it returns (batch, k), one row a text.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..attribution.goals import of_outputs
from ..capture import Batch
from ..models.objectives import IGNORE

Reader = Callable[[Any, Any, Batch, Sequence[Any]], Tensor]


def target(model: Any, outputs: Any, batch: Batch, wanted: Sequence[Any]) -> Tensor:
    """The target of each text and a 1."""
    return _counted(of_outputs(model, outputs, batch, wanted))


def accuracy(model: Any, outputs: Any, batch: Batch, wanted: Sequence[Any]) -> Tensor:
    """1 where the class is predicted, and a 1."""
    predicted, true = _classes(outputs, wanted)
    return _counted((predicted == true).float())


def class_counts(model: Any, outputs: Any, batch: Batch, wanted: Sequence[Any]) -> Tensor:
    """For every class: whether it is predicted and right, whether predicted, whether true."""
    predicted, true = (
        functional.one_hot(one, len(model.labels)) for one in _classes(outputs, wanted)
    )
    return torch.cat([predicted * true, predicted, true], dim=1).float()


def class_loss(model: Any, outputs: Any, batch: Batch, wanted: Sequence[Any]) -> Tensor:
    """The cross-entropy of each text in nats, and a 1."""
    logits = outputs[0].float()
    _, true = _classes(outputs, wanted)
    return _counted(functional.cross_entropy(logits, true, reduction="none"))


def class_prediction(model: Any, outputs: Any, batch: Batch, wanted: Sequence[Any]) -> Tensor:
    """The predicted and the true class."""
    return torch.stack(_classes(outputs, wanted), dim=1).float()


def value_prediction(model: Any, outputs: Any, batch: Batch, wanted: Sequence[Any]) -> Tensor:
    """The predicted and the true value of a regression."""
    return torch.stack([outputs[0].float().squeeze(-1), _values(outputs, wanted)], dim=1)


def value_moments(model: Any, outputs: Any, batch: Batch, wanted: Sequence[Any]) -> Tensor:
    """What Pearson's correlation is computed from."""
    # Squares in double precision: their sums are subtracted.
    x, y = value_prediction(model, outputs, batch, wanted).cpu().double().unbind(1)
    return torch.stack([torch.ones_like(x), x, y, x**2, y**2, x * y], dim=1)


def squared_error(model: Any, outputs: Any, batch: Batch, wanted: Sequence[Any]) -> Tensor:
    """The squared error of each text, and a 1."""
    x, y = value_prediction(model, outputs, batch, wanted).unbind(1)
    return _counted((x - y) ** 2)


def token_loss(model: Any, outputs: Any, batch: Batch, wanted: Sequence[Any]) -> Tensor:
    """The summed cross-entropy (nats) of the wanted tokens of each text, and their number.

    Args:
        wanted: for each text (token,): the id to be predicted in each row, or `IGNORE`.
    """
    logits = outputs[0]
    ids = torch.full(batch.mask.shape, IGNORE)
    own = batch.mask.bool().cpu()
    for row, one in enumerate(wanted):
        ids[row, own[row]] = torch.from_numpy(one)
    ids = ids.to(logits.device)
    asked = ids != IGNORE
    found = functional.cross_entropy(logits[asked].float(), ids[asked], reduction="none")
    losses = found.new_zeros(ids.shape).masked_scatter(asked, found)
    return torch.stack([losses.sum(1), asked.sum(1).to(losses)], dim=1)


def pair_side(model: Any, outputs: Any, batch: Batch, wanted: Sequence[Any]) -> Tensor:
    """The log-probability of the wanted tokens, in the column of the sentence of the pair.

    Args:
        wanted: for each text the side (0: good, 1: bad) and what `token_loss` wants.
    """
    losses = token_loss(model, outputs, batch, [ids for _, ids in wanted])[:, 0]
    sides = torch.tensor([side for side, _ in wanted], device=losses.device)
    return functional.one_hot(sides, 2) * -losses[:, None]


def next_tokens(ids: np.ndarray, scored: np.ndarray) -> np.ndarray:
    """For `token_loss`: each row predicts the token behind it, where that is scored."""
    wanted = np.full(len(ids), IGNORE)
    wanted[:-1] = np.where(scored[1:], ids[1:], IGNORE)
    return wanted


def _classes(outputs: Any, wanted: Sequence[Any]) -> tuple[Tensor, Tensor]:
    logits = outputs[0]
    return logits.argmax(-1), torch.tensor(wanted, device=logits.device)


def _values(outputs: Any, wanted: Sequence[Any]) -> Tensor:
    return torch.tensor(wanted, dtype=torch.float32, device=outputs[0].device)


def _counted(values: Tensor) -> Tensor:
    return torch.stack([values, torch.ones_like(values)], dim=1)
