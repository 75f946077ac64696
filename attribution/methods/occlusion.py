"""Occlusion and leave-one-out: how the target changes when words are taken away."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...corpora import Encoding
from ...errors import AttributionError
from ..erasing import operator_of, outcomes, reference_operator
from ..goals import Goal, measure
from ..words import Items, items_of


def leave_one_out(
    model: Any,
    encodings: Sequence[Encoding],
    goals: Sequence[Goal],
    *,
    seed: int,
    operator: str = "delete",
) -> list[np.ndarray]:
    """f(x) − f(x without the word), one score per token (token,); draws nothing.

    The word's tokens share its score evenly, so that the sum over them is the effect of the
    word. Tokens that may not be scored have 0. One forward pass per word.

    Args:
        operator: how the word is taken away, see `operator_of`.
    """
    return _occlude(model, encodings, goals, "word", 1, operator)


def leave_one_token_out(
    model: Any,
    encodings: Sequence[Encoding],
    goals: Sequence[Goal],
    *,
    seed: int,
    operator: str = "delete",
) -> list[np.ndarray]:
    """f(x) − f(x without the token), one score per token (token,); draws nothing."""
    return _occlude(model, encodings, goals, "token", 1, operator)


def occlusion(
    model: Any,
    encodings: Sequence[Encoding],
    goals: Sequence[Goal],
    *,
    seed: int,
    window: int = 3,
    operator: str | None = None,
    unit: str = "word",
) -> list[np.ndarray]:
    """Windows of successive words are taken away (Zeiler & Fergus 2014); draws nothing.

    The effect of a window is shared evenly by its words, and a word gets the mean over the
    windows it is in. A text that is no longer than the window is one window. One forward pass
    per window.

    Args:
        window: words in a window; 1 is leave-one-out.
        operator: how they are taken away, see `operator_of` (default: `reference_operator`).
        unit: what windows are made of, `word` or `token`.
    """
    if window < 1:
        raise AttributionError(f"window is {window}; give at least 1.")
    operator = operator or reference_operator(model.tokenizer)
    return _occlude(model, encodings, goals, unit, window, operator)


def _occlude(
    model: Any,
    encodings: Sequence[Encoding],
    goals: Sequence[Goal],
    unit: str,
    window: int,
    operator: str,
) -> list[np.ndarray]:
    items = [items_of(e, goal, unit) for e, goal in zip(encodings, goals, strict=True)]
    windows = [_windows(len(own), window) for own in items]
    values = outcomes(
        model,
        encodings,
        goals,
        [
            [np.isin(own.of_token, np.flatnonzero(one)) for one in rows]
            for own, rows in zip(items, windows, strict=True)
        ],
        operator_of(operator, model.tokenizer),
        measure,
        description=f"occlusion ({operator})",
    )
    scores = []
    for own, rows, goal, value in zip(items, windows, goals, values, strict=True):
        shares = (goal.value - value) / rows.sum(1)
        scores.append(to_tokens((shares @ rows) / rows.sum(0), own))
    return scores


def _windows(length: int, window: int) -> np.ndarray:
    """(window, item) bool: the items of each window."""
    size = min(window, length)
    starts = np.arange(length - size + 1)[:, None]
    place = np.arange(length)
    return (place >= starts) & (place < starts + size)


def to_tokens(scores: np.ndarray, items: Items) -> np.ndarray:
    """(token,): the tokens of an item share its score (item,) evenly; others have 0."""
    shares = scores / np.bincount(items.of_token[items.of_token >= 0])
    return np.where(items.of_token >= 0, shares[items.of_token], 0.0)
