"""Texts whose word embeddings are scaled, measured in batches."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...capture import Batch
from ...corpora import Encoding
from ..embeddings import replaced_embeddings
from ..erasing import Measured
from ..goals import Goal
from ..running import stream_with

#: Of the width of the embeddings: what they are multiplied with, (token, width) or (token, 1).
Gate = Callable[[int], Tensor]
#: Copies are made for this many texts at once, so that memory does not grow with the data.
ROUND = 64


def gated_outcomes(
    model: Any,
    encodings: Sequence[Encoding],
    goals: Sequence[Goal],
    gates: Sequence[Sequence[Gate]],
    measured: Measured,
    *,
    description: str,
) -> list[np.ndarray]:
    """What is measured behind each gate of each text: for each text (gate,).

    Position and type embeddings stay as they are.
    """

    def run(batch: Batch, own: list[tuple[Goal, Gate]]) -> list[float]:
        def scaled(embeddings: Tensor) -> Tensor:
            gate = torch.ones_like(embeddings)
            for row, (_, of_width) in enumerate(own):
                gate[row, batch.mask[row].bool()] = of_width(embeddings.shape[-1]).to(gate)
            return embeddings * gate

        with torch.no_grad(), replaced_embeddings(model.module, scaled):
            return measured(model, batch, [goal for goal, _ in own]).tolist()

    results = []
    for start in range(0, len(encodings), ROUND):
        part = range(start, min(start + ROUND, len(encodings)))
        values = stream_with(
            model,
            [encodings[n] for n in part for _ in gates[n]],
            [(goals[n], gate) for n in part for gate in gates[n]],
            run,
            description=description,
        )
        ends = np.cumsum([len(gates[n]) for n in part])[:-1]
        results += np.split(np.array(values), ends)
    return results


def of_tokens(values: np.ndarray) -> Gate:
    """One factor for each token (token,)."""
    factors = torch.from_numpy(values).unsqueeze(1)
    return lambda width: factors
