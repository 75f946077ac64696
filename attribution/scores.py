"""Every score of every example, word by word."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .floors import (
    frequency_scores,
    other_sentence_scores,
    position_scores,
    random_scores,
)
from .from_attention.raw import AttentionScores, attention_scores
from .methods.gradients import input_x_gradient
from .methods.integrated import Completeness, integrate
from .methods.occlusion import leave_one_out, leave_one_token_out
from .targets import Prepared
from .words import Items, items_of

ATTENTION = ("attention_last", "attention_mean", "rollout")
IMPORTANCE = ("input_x_gradient", "integrated_gradients", "leave_one_out")


@dataclass(frozen=True)
class Scores:
    """The scores of one example; arrays over its items."""

    items: Items
    layers: np.ndarray
    """(head,) layer of each row of `attention`."""
    heads: np.ndarray
    """(head,) number of the head within its layer."""
    attention: np.ndarray
    """(head, item)."""
    named: dict[str, np.ndarray]
    """Signed scores (item,) by name, in the order of the tables. `other_sentence` may be
    missing, and `integrated_gradients` where they are not complete."""


def score_all(
    model: Any, prepared: Prepared, *, unit: str, seed: int
) -> tuple[list[Scores], list[Completeness]]:
    """Attention, importance and floors of every example, and how complete the gradients are.

    Integrated gradients that are not complete are left out.

    Raises:
        AttributionError: `unit` is neither `word` nor `token`.
        CaptureError: the model's attention cannot be captured.
    """
    encodings, goals = prepared.encodings, prepared.goals
    items = [items_of(e, goal, unit) for e, goal in zip(encodings, goals, strict=True)]
    attention = attention_scores(model, encodings, goals)
    leave_out = leave_one_out if unit == "word" else leave_one_token_out
    integrals = integrate(model, encodings, goals)
    checks = [own.completeness for own in integrals]
    by_token = {
        "attention_last": [own.last for own in attention],
        "attention_mean": [own.mean for own in attention],
        "rollout": [own.rollout for own in attention],
        "input_x_gradient": input_x_gradient(model, encodings, goals, seed=seed),
        "integrated_gradients": [own.scores for own in integrals],
        "leave_one_out": leave_out(model, encodings, goals, seed=seed),
    }
    summed: dict[str, list[np.ndarray]] = {
        name: [own.sums(score) for own, score in zip(items, scores, strict=True)]
        for name, scores in by_token.items()
    }
    other = other_sentence_scores(items, summed["attention_mean"], seed=seed)
    complete = [
        score if check.holds else None
        for score, check in zip(summed["integrated_gradients"], checks, strict=True)
    ]
    floors: dict[str, Sequence[np.ndarray | None]] = {
        "random": random_scores(items, seed=seed),
        "position": position_scores(items),
        "frequency": frequency_scores(items),
        "other_sentence": other,
    }
    by_name: dict[str, Sequence[np.ndarray | None]] = {**summed, **floors}
    by_name["integrated_gradients"] = complete
    results = [
        _scores_of(number, own, attention[number], by_name) for number, own in enumerate(items)
    ]
    return results, checks


def _scores_of(
    number: int,
    items: Items,
    attention: AttentionScores,
    by_name: dict[str, Sequence[np.ndarray | None]],
) -> Scores:
    named = {}
    for name, scores in by_name.items():
        score = scores[number]
        if score is not None:
            named[name] = score
    return Scores(items, attention.layers, attention.heads, items.sums(attention.attention), named)
