"""Every score that is read from attention or from what attention carries, by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...corpora import Encoding
from ..goals import Goal
from .alti import alti
from .decompx import decompx
from .flow import FLOW_TOKENS, attention_flow
from .gradients import attention_x_gradient, relevancy
from .norms import attention_norms
from .raw import AttentionScores, attention_scores
from .residual import attention_norms_residual, globenc
from .value_zeroing import value_zeroing

#: (model, encodings, goals, *, seed) to one score per token of each text.
Method = Callable[..., list[np.ndarray]]
ATTENTION = "attention"
VECTORS = "values and output projections"
ENCODER = "an encoder whose layer norms follow each addition, as in BERT"
GRADIENTS = "gradients of attention"


@dataclass(frozen=True)
class FromAttention:
    """A score, what it needs of the model, and what it costs."""

    method: Method
    needs: str
    """Models without it are refused with a CaptureError before any work."""
    signed: bool = False
    forward: int | None = 1
    """Forward passes per text; None for as many as the text has tokens, and one."""
    backward: int = 0
    longest: int | None = None
    """The most tokens a text may have; longer texts have to be left out."""


def _attention(read: Callable[[AttentionScores], np.ndarray]) -> Method:
    def method(
        model: Any, encodings: Sequence[Encoding], goals: Sequence[Goal], *, seed: int
    ) -> list[np.ndarray]:
        return [read(own) for own in attention_scores(model, encodings, goals)]

    return method


FROM_ATTENTION: dict[str, FromAttention] = {
    "attention_last": FromAttention(_attention(lambda own: own.last), ATTENTION),
    "attention_mean": FromAttention(_attention(lambda own: own.mean), ATTENTION),
    "attention_columns": FromAttention(_attention(lambda own: own.columns.mean(0)), ATTENTION),
    "rollout": FromAttention(_attention(lambda own: own.rollout), ATTENTION),
    "attention_flow": FromAttention(attention_flow, ATTENTION, longest=FLOW_TOKENS),
    "attention_norms": FromAttention(attention_norms, VECTORS),
    "attention_norms_residual": FromAttention(attention_norms_residual, ENCODER),
    "globenc": FromAttention(globenc, ENCODER),
    "alti": FromAttention(alti, ENCODER),
    "decompx": FromAttention(decompx, ENCODER, signed=True),
    "value_zeroing": FromAttention(value_zeroing, ATTENTION, forward=None),
    "attention_x_gradient": FromAttention(attention_x_gradient, GRADIENTS, signed=True, backward=1),
    "relevancy": FromAttention(relevancy, GRADIENTS, backward=1),
}
