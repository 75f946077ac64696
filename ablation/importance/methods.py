"""Every measure of head importance by name, with what can be said of it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .confidence import confidence
from .gradients import head_importance, per_batch, per_position
from .relevance import relevance
from .weights import output_norms, value_output_norms


@dataclass(frozen=True)
class Method:
    """One measure of importance.

    `run(model, encodings, goals, *, seed)` returns (example, layer, head), or (1, layer, head)
    where it looks at no text; the larger, the more important. None draws anything.
    """

    run: Callable[..., np.ndarray]
    loss: bool = False
    """Whether it can be taken of the loss."""
    positions: bool = False
    """Whether it is a sum over positions, to be divided by their number."""
    batches: bool = False
    """Whether `run` also takes `batch_size`."""
    texts: bool = True
    """Whether it looks at texts; weights are the same whatever is read."""


METHODS = {
    "position": Method(per_position, loss=True, positions=True),
    "example": Method(head_importance, loss=True),
    "batch": Method(per_batch, loss=True, batches=True),
    "relevance": Method(relevance),
    "confidence": Method(confidence),
    "output_norm": Method(output_norms, texts=False),
    "value_output_norm": Method(value_output_norms, texts=False),
}
#: What a gradient is taken of.
AGAINST = ("target", "loss")
