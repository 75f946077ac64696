"""Loss and accuracy of a model whose heads are gated."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...attribution.running import stream_with
from ...capture import Batch, gate_heads, hooked
from ...models import LoadedModel
from ...models.objectives import IGNORE, Objective, Texts

#: Sums of a text: what `gated_sums` returns in its last axis.
SUMS = ("loss", "accuracy", "count")


def gated_sums(
    model: LoadedModel, objective: Objective, texts: Texts, settings: Sequence[Tensor], seed: int
) -> np.ndarray:
    """Of every setting and text, the sums in `SUMS`: (setting, text, sum).

    A classifier has one term a text, a language model one for each token that is predicted;
    `accuracy` counts those whose most probable class or token is the right one, and is NaN for a
    regression, whose `loss` is the squared error. The settings predict the same masked tokens.

    Args:
        settings: gates (layer, head).
    """

    def run(_: Batch, rows: list[int]) -> list[np.ndarray]:
        inputs, targets = objective.batch(
            texts, np.array(rows), np.random.default_rng([seed, *rows])
        )
        found = []
        gates = list(torch.ones_like(settings[0]))
        with torch.no_grad(), hooked(model.module, gate_heads(gates)):
            for setting in settings:
                gates[:] = setting
                logits = model.module(**inputs).logits
                found.append(_sums(objective, logits.float(), targets))
        return list(torch.stack(found, dim=1).cpu().numpy())

    places = range(len(texts))
    found = stream_with(model, texts.encodings, places, run, description="scoring gates")
    return np.stack(found, axis=1)


def _sums(objective: Objective, logits: Tensor, targets: Tensor) -> Tensor:
    """(text, sum), float64."""
    if objective.task == "regression":
        error = (logits.squeeze(-1) - targets).double() ** 2
        return torch.stack([error, torch.full_like(error, torch.nan), torch.ones_like(error)], 1)
    if targets.dim() == 1:
        logits, targets = logits[:, None], targets[:, None]
    loss = functional.cross_entropy(logits.movedim(-1, 1), targets, reduction="none")
    hits = logits.argmax(-1) == targets
    parts = (loss.double(), hits.double(), (targets != IGNORE).double())
    return torch.stack([part.sum(1) for part in parts], dim=1)
