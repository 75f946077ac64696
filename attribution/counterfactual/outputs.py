"""How far apart two outputs of a model on one text are."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...capture import Batch
from ..divergences import total_variation
from ..goals import Goal, is_multi_label, mean_pooled, measure, predicting_logits, run

TOTAL_VARIATION, COSINE, ABSOLUTE = "total_variation", "cosine_distance", "absolute_change"


def output_metric(model: Any, goals: Sequence[Goal]) -> str:
    """What distance suits the output: total variation where it is a distribution.

    For embeddings the cosine distance, for a regression or a user's function the absolute change.
    """
    if goals[0].reference is not None:
        return COSINE
    is_number = model.task == "classification" and len(model.labels) == 1
    return ABSOLUTE if goals[0].function is not None or is_number else TOTAL_VARIATION


def read_output(model: Any, batch: Batch, goals: Sequence[Goal]) -> Tensor:
    """The whole output on each text of a batch, (batch, width).

    Probabilities of all classes or of the whole vocabulary (of a multi-label classifier those of
    the goal's class and of its absence), an embedding, or one number.
    """
    if goals[0].function is not None:
        return measure(model, batch, goals)[:, None]
    output = run(model, batch)
    if goals[0].reference is not None:
        return mean_pooled(output, batch.mask)
    logits = predicting_logits(output, batch, goals)
    if logits.shape[1] == 1:
        return logits
    if is_multi_label(model):
        index = torch.tensor([[goal.index] for goal in goals], device=logits.device)
        own = torch.sigmoid(logits.gather(1, index))
        return torch.cat([own, 1 - own], 1)
    return logits.softmax(1)


def distance(metric: str, first: Tensor, second: Tensor) -> Tensor:
    """Between outputs (batch, width), shape (batch,)."""
    if metric == COSINE:
        return 1 - torch.nn.functional.cosine_similarity(first, second)
    if metric == ABSOLUTE:
        return (first - second).abs().squeeze(1)
    return total_variation(first, second)
