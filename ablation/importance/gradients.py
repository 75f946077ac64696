"""Michel's importance: how strongly a score reacts to a gate on each head, at ξ = 1.

Michel et al. 2019, section 4.1. Where the absolute value is taken is what the forms differ in: at
each position (the authors' code), in each example (the paper's formula), or after a batch is
summed (the `run_bertology` script of transformers). The ranks of the heads differ too.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...attribution.running import stream_with
from ...attribution.targets import Goal
from ...capture import Batch, Event, Hook, gate_heads, hooked
from ...capture.places import one_of_a_kind
from ...corpora import Encoding
from ...errors import CorpusError
from ..knockout import head_grid
from .loss import scored


def per_position(
    model: Any, encodings: Sequence[Encoding], goals: Sequence[Goal], *, seed: int
) -> np.ndarray:
    """Σ over positions of |∂score/∂ξ at the position|: (example, layer, head), float32."""
    refuse_nothing(encodings)

    def run(batch: Batch, own: list[Goal]) -> list[np.ndarray]:
        return list(_position_gradients(model, batch, own))

    return np.stack(stream_with(model, encodings, goals, run, description="head importance"))


def head_importance(
    model: Any, encodings: Sequence[Encoding], goals: Sequence[Goal], *, seed: int = 0
) -> np.ndarray:
    """|∂score/∂ξ| of every example and head, ξ being a gate on the head's output, at ξ = 1.

    Every example has gates of its own, so one backward pass serves a batch and the absolute
    value is taken per example. Draws nothing.

    Args:
        goals: what is measured on each encoding, from `bertology.attribution.prepare`, or
            `loss_goals`.

    Returns:
        (example, layer, head), float32.

    Raises:
        CorpusError: no text is given.
        CaptureError: attention that cannot be reached.
        AttributionError: the numbers of encodings and goals differ.
    """
    return np.abs(signed_gradients(model, encodings, goals))


def per_batch(
    model: Any,
    encodings: Sequence[Encoding],
    goals: Sequence[Goal],
    *,
    seed: int,
    batch_size: int,
) -> np.ndarray:
    """|Σ over a batch of ∂score/∂ξ| / its examples, for each example of the batch.

    Batches are of the examples in the order given, as the script reads them, whatever is
    computed together. Examples that pull a head in opposite directions cancel, the more the
    larger the batch; a batch size of 1 gives `head_importance`.

    Returns:
        (example, layer, head), equal for the examples of a batch.
    """
    signed = signed_gradients(model, encodings, goals)
    values = np.empty_like(signed)
    for start in range(0, len(signed), batch_size):
        place = slice(start, start + batch_size)
        values[place] = np.abs(signed[place].mean(0))
    return values


def signed_gradients(
    model: Any, encodings: Sequence[Encoding], goals: Sequence[Goal]
) -> np.ndarray:
    """∂score/∂ξ of every example and head: (example, layer, head), float32."""
    refuse_nothing(encodings)

    def run(batch: Batch, own: list[Goal]) -> list[np.ndarray]:
        return list(gate_gradients(model, batch, own))

    return np.stack(stream_with(model, encodings, goals, run, description="head importance"))


def gate_gradients(model: Any, batch: Batch, goals: Sequence[Goal]) -> np.ndarray:
    """∂score/∂ξ for the texts of a batch: (batch, layer, head), float32, with its sign."""
    layers, heads = head_grid(model.module)
    gates = torch.ones(len(batch), layers, heads, device=model.device, requires_grad=True)
    with torch.enable_grad(), hooked(model.module, gate_heads(gates)):
        total = scored(model, batch, goals).sum()
        (gradients,) = torch.autograd.grad(total, gates)
    return gradients.cpu().numpy()


def positions_read(encodings: Sequence[Encoding], goals: Sequence[Goal], layers: int) -> np.ndarray:
    """How many positions of each layer the score depends on: (example, layer).

    All tokens, but in the last layer only the rows the score is read from: a classifier that
    reads [CLS] sees one. So the authors' code divides, by tokens and in the last layer by
    examples.
    """
    counts = np.repeat([[len(encoding)] for encoding in encodings], layers, axis=1)
    counts[:, -1] = [np.count_nonzero(goal.rows) for goal in goals]
    return counts


def refuse_nothing(encodings: Sequence[Encoding]) -> None:
    if not encodings:
        raise CorpusError("Head importance needs at least one text; none was given.")


def _position_gradients(model: Any, batch: Batch, goals: Sequence[Goal]) -> np.ndarray:
    """Σ over positions of |Σ over the width of z ∂score/∂z|: (batch, layer, head)."""
    gates: dict[int, Tensor] = {}

    def gated(event: Event) -> Tensor:
        output = event.head_output
        gate = torch.ones(output.shape[:3], device=output.device, requires_grad=True)
        gates[event.site.layer] = gate
        return output * gate[..., None].to(output.dtype)

    head_grid(model.module)
    with torch.enable_grad(), hooked(model.module, Hook(edit_output=gated, check=one_of_a_kind)):
        total = scored(model, batch, goals).sum()
        gradients = torch.autograd.grad(
            total, [gates[layer] for layer in sorted(gates)], materialize_grads=True
        )
    return torch.stack([g.abs().sum(1) for g in gradients], 1).cpu().numpy()
