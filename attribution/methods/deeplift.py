"""DeepLIFT, where it is exact."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from captum.attr import DeepLift
from torch import Tensor

from ...capture import Batch
from ...corpora import Encoding
from ...errors import AttributionError
from ..embeddings import replaced_embeddings, word_embeddings
from ..goals import Goal, measure
from ..running import stream_with
from .baselines import baseline_embedding
from .gradients import rows_of

#: Largest |Σ scores − (f(x) − f(x′))| that is rounding, relative to Σ|scores| + |f(x) − f(x′)|.
ROUNDING = 1e-4


def deeplift(
    model: Any,
    encodings: Sequence[Encoding],
    goals: Sequence[Goal],
    *,
    seed: int,
    baseline: str = "zero",
) -> list[np.ndarray]:
    """DeepLIFT's rescale rule (Shrikumar et al. 2017), by captum (token,); draws nothing.

    Softmax attention, layer norms, GELU and products have no exact rule, and captum does not see
    functions that are not modules. Whether a model is made of what it has rules for is seen from
    the scores: they must add up to f(x) − f(x′), on every text. One forward and one backward
    pass on a pair, and two forward passes to check.

    Args:
        baseline: see `baseline_embedding`.

    Raises:
        AttributionError: the scores of a text do not add up.
    """
    origin = baseline_embedding(model, baseline)

    def run(batch: Batch, own: list[Goal]) -> list[np.ndarray]:
        target = _Target(model, batch, own)
        rows = torch.arange(len(batch), device=batch.mask.device)
        with torch.no_grad():
            embeddings = word_embeddings(model.module)(batch.inputs["input_ids"])
            reference = origin.expand_as(embeddings).contiguous()
            difference = target(embeddings, rows) - target(reference, rows)
        with torch.enable_grad(), warnings.catch_warnings():
            # Captum announces its hooks on every call.
            warnings.simplefilter("ignore", UserWarning)
            scores = DeepLift(target).attribute(
                embeddings, reference, additional_forward_args=(rows,)
            )
        scores = scores.detach().float().sum(-1) * batch.mask
        _refuse_inexact(model, scores, difference)
        return rows_of(scores, batch)

    return stream_with(model, encodings, goals, run, description="DeepLIFT")


class _Target(torch.nn.Module):
    """The target as a function of word embeddings; captum finds the model's parts inside."""

    def __init__(self, model: Any, batch: Batch, goals: Sequence[Goal]) -> None:
        super().__init__()
        self.module = model.module
        self.of = (model, batch, goals)

    def forward(self, embeddings: Tensor, rows: Tensor) -> Tensor:
        model, batch, goals = self.of
        # Captum puts texts and baselines into one batch; `rows` says which text each is of.
        numbers = rows.tolist()
        inputs = {name: tensor[rows] for name, tensor in batch.inputs.items()}
        repeated = Batch([batch.encodings[n] for n in numbers], inputs)
        with replaced_embeddings(model.module, lambda _: embeddings):
            return measure(model, repeated, [goals[n] for n in numbers])


def _refuse_inexact(model: Any, scores: Tensor, difference: Tensor) -> None:
    error = (scores.sum(1) - difference).abs()
    scale = scores.abs().sum(1) + difference.abs()
    worst = int((error / scale.clamp(min=1e-12)).argmax())
    if not error[worst] <= ROUNDING * scale[worst]:
        raise AttributionError(
            f"DeepLIFT is not exact for {model.name}: on one text its scores add up to "
            f"{scores[worst].sum():.4g}, and the target differs from the baseline by "
            f"{difference[worst]:.4g}. It has no exact rule for softmax attention, layer norms, "
            "GELU and products; use integrated gradients."
        )
