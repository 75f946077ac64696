"""Leave-one-out: how the target changes when one word is deleted."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..corpora import Encoding
from .erasing import delete, outcomes
from .goals import Goal, measure
from .words import items_of


def leave_one_out(
    model: Any, encodings: Sequence[Encoding], goals: Sequence[Goal], *, seed: int
) -> list[np.ndarray]:
    """f(x) − f(x without the word), one score per token (token,); draws nothing.

    The word's tokens are deleted from the ids and share its score evenly, so that the sum over
    them is the effect of the word. Tokens that may not be scored have 0.
    """
    return _leave_out(model, encodings, goals, "word")


def leave_one_token_out(
    model: Any, encodings: Sequence[Encoding], goals: Sequence[Goal], *, seed: int
) -> list[np.ndarray]:
    """f(x) − f(x without the token), one score per token (token,); draws nothing."""
    return _leave_out(model, encodings, goals, "token")


def _leave_out(
    model: Any, encodings: Sequence[Encoding], goals: Sequence[Goal], unit: str
) -> list[np.ndarray]:
    items = [items_of(e, goal, unit) for e, goal in zip(encodings, goals, strict=True)]
    values = outcomes(
        model,
        encodings,
        goals,
        [own.removals() for own in items],
        delete,
        measure,
        description="leave one out",
    )
    scores = []
    for own, goal, value in zip(items, goals, values, strict=True):
        shares = (goal.value - value) / np.bincount(own.of_token[own.of_token >= 0])
        scores.append(np.where(own.of_token >= 0, shares[own.of_token], 0.0))
    return scores
