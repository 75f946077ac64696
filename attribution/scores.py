"""Every score of every example, word by word."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..corpora import Encoding
from ..errors import AttributionError
from .floors import (
    frequency_scores,
    other_sentence_scores,
    position_scores,
    random_scores,
)
from .from_attention.raw import AttentionScores, attention_scores
from .from_attention.registry import FROM_ATTENTION
from .goals import Goal
from .methods.integrated import Completeness, integrate
from .methods.registry import METHODS
from .targets import Prepared
from .words import Items, items_of

ATTENTION = ("attention_last", "attention_mean", "rollout")
IMPORTANCE = ("input_x_gradient", "integrated_gradients", "leave_one_out")
#: The scores that are computed unless others are named.
SCORES = (*ATTENTION, *IMPORTANCE)
#: Every score that can be named. `random` is a floor, and `leave_one_out` follows the unit.
AVAILABLE = (
    *FROM_ATTENTION,
    *(name for name in METHODS if name not in ("random", "leave_one_token_out")),
)
#: Read from attention that is captured once.
_RAW: dict[str, Callable[[AttentionScores], np.ndarray]] = {
    "attention_last": lambda own: own.last,
    "attention_mean": lambda own: own.mean,
    "rollout": lambda own: own.rollout,
}
#: For each text (token,), or None where the text has no such score.
_Found = Sequence[np.ndarray | None]


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
    missing, `integrated_gradients` where they are not complete, and what a text is too long
    for."""


def score_all(
    model: Any,
    prepared: Prepared,
    *,
    unit: str,
    seed: int,
    names: Sequence[str] = SCORES,
    specials: bool = False,
) -> tuple[list[Scores], list[Completeness]]:
    """Heads, the scores named and floors of every example, and how complete the gradients are.

    Integrated gradients that are not complete are left out.

    Args:
        names: which of `AVAILABLE`; heads and floors are always there.
        specials: special tokens are items like the others, with units of tokens only. They are
            then left out one by one too, which changes what the target is read from if it is
            read from one of them.

    Raises:
        AttributionError: `unit` is neither `word` nor `token`, an unknown score, or special
            tokens as words.
        CaptureError: the model's attention cannot be captured.
    """
    _check(names, unit, specials)
    encodings = prepared.encodings
    goals = with_specials(prepared) if specials else prepared.goals
    items = [items_of(e, goal, unit) for e, goal in zip(encodings, goals, strict=True)]
    attention = attention_scores(model, encodings, goals)
    by_name: dict[str, _Found] = {}
    checks: list[Completeness] = []
    for name in names:
        found: _Found
        if name in _RAW:
            found = [_RAW[name](own) for own in attention]
        elif name == "integrated_gradients":
            integrals = integrate(model, encodings, goals)
            checks = [own.completeness for own in integrals]
            found = [own.scores if own.completeness.holds else None for own in integrals]
        else:
            found = _computed(model, name, encodings, goals, unit, seed)
        by_name[name] = [
            None if score is None else own.sums(score)
            for own, score in zip(items, found, strict=True)
        ]
    means = [own.sums(each.mean) for own, each in zip(items, attention, strict=True)]
    by_name |= {
        "random": random_scores(items, seed=seed),
        "position": position_scores(items),
        "frequency": frequency_scores(items),
        "other_sentence": other_sentence_scores(items, means, seed=seed),
    }
    results = [
        _scores_of(number, own, attention[number], by_name) for number, own in enumerate(items)
    ]
    return results, checks


def with_specials(prepared: Prepared) -> list[Goal]:
    """The goals, with special tokens that may get a score."""
    return [
        replace(goal, scored=goal.scored | encoding.added)
        for encoding, goal in zip(prepared.encodings, prepared.goals, strict=True)
    ]


def _check(names: Sequence[str], unit: str, specials: bool) -> None:
    """Refuse, before any work, what cannot be computed."""
    for name in names:
        if name not in AVAILABLE:
            raise AttributionError(f"score is {name!r}; give some of {', '.join(AVAILABLE)}.")
    if specials and unit == "word":
        raise AttributionError("Special tokens belong to no word; give unit='token' with them.")


def _computed(
    model: Any,
    name: str,
    encodings: Sequence[Encoding],
    goals: Sequence[Goal],
    unit: str,
    seed: int,
) -> _Found:
    if name in METHODS:
        if name == "leave_one_out":
            own = METHODS[name if unit == "word" else "leave_one_token_out"]
            return own.run(model, encodings, goals, seed=seed)
        options = {"unit": unit} if METHODS[name].unit == "word" else {}
        return METHODS[name].run(model, encodings, goals, seed=seed, **options)
    method, longest = FROM_ATTENTION[name].method, FROM_ATTENTION[name].longest
    fits = [n for n, own in enumerate(encodings) if longest is None or len(own) <= longest]
    scores = method(model, [encodings[n] for n in fits], [goals[n] for n in fits], seed=seed)
    found: list[np.ndarray | None] = [None] * len(encodings)
    for n, score in zip(fits, scores, strict=True):
        found[n] = score
    return found


def _scores_of(
    number: int, items: Items, attention: AttentionScores, by_name: dict[str, _Found]
) -> Scores:
    named = {}
    for name, scores in by_name.items():
        score = scores[number]
        if score is not None:
            named[name] = score
    return Scores(items, attention.layers, attention.heads, items.sums(attention.attention), named)
