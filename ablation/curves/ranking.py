"""Importance as a ranking that may be asked anew once heads are gone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...capture import gate_heads, hooked
from ..importance import Question, normalised
from ..knockout import mean_head_outputs
from ..parts import Head
from .order import Ranking


def ranking(
    model: Any, question: Question, *, in_layer: bool, rescore: bool, mode: str, seed: int
) -> Ranking:
    """Scores of all heads, (layer, head), given those that are gone.

    Without `rescore` they are those of the intact model, whatever is gone.

    Args:
        in_layer: whether importance is divided by the ℓ2 norm of its layer.
        mode: `zero` or `mean`: what stands in for the heads that are gone.
    """

    def scores() -> np.ndarray:
        means = question.means(question.values(model, seed))
        return normalised(means) if in_layer else means

    intact = scores()
    if not rescore:
        return lambda gone: intact
    fill = mean_head_outputs(model, question.encodings) if mode == "mean" else None

    def after(gone: Sequence[Head]) -> np.ndarray:
        if not gone:
            return intact
        with hooked(model.module, gate_heads(_gates(intact.shape, gone, model.device), fill)):
            return scores()

    return after


def _gates(shape: tuple[int, ...], gone: Sequence[Head], device: torch.device) -> Tensor:
    gates = torch.ones(shape, device=device)
    for layer, head in gone:
        gates[layer, head] = 0
    return gates
