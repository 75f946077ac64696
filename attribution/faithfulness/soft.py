"""Sufficiency and comprehensiveness when every word is kept in proportion to its score."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ...errors import AttributionError
from ..goals import probability
from ..scores import SCORES, Scores
from ..targets import Prepared
from ..words import Items
from .gating import Gate, gated_outcomes, of_tokens
from .rankings import long_enough, ranking, rankings_of, rows_of, table_of

DRAWS = 10
METRICS = ("soft_sufficiency", "soft_comprehensiveness")
#: A text whose words change p by less than this share of what they could is left out.
LEAST = 1e-6


def soft_faithfulness(
    model: Any,
    prepared: Prepared,
    scores: Sequence[Scores],
    units: Sequence[int],
    *,
    seed: int,
    names: Sequence[str] = SCORES,
    draws: int = DRAWS,
) -> pd.DataFrame:
    """Normalised soft sufficiency and comprehensiveness (Zhao & Aletras 2023, section 3).

    Scores are scaled to a in [0, 1]: negative ones count as 0, and all are divided by the
    largest. Each element of a word's embedding is kept with probability a for sufficiency, and
    1 − a for comprehensiveness, else it is 0; special tokens stay whole. With X′ what is left,
    S = 1 − max(0, p(X) − p(X′)) and C = max(0, p(X) − p(X′)), and S₀ is S without any word:

        soft_sufficiency = (S − S₀) / (1 − S₀), soft_comprehensiveness = C / (1 − S₀)

    averaged over draws, which are the same for all rankings of a text. High is good for both.
    p and the baselines are those of `faithfulness`. A text is left out where p does not fall
    without its words (S₀ = 1).

    Args:
        names: the scores, by their names in `Scores.named`.
        draws: how often the kept elements are drawn.

    Returns:
        The columns of `faithfulness`, with `soft` as the operator.

    Raises:
        AttributionError: an unknown score, or no draw.
    """
    if draws < 1:
        raise AttributionError(f"draws is {draws}; give at least 1.")
    ranked = rankings_of(names, scores)
    kept = long_enough(scores)
    there = {
        n: [r for r, name in enumerate(ranked) if ranking(scores[n], name) is not None]
        for n in kept
    }
    values = gated_outcomes(
        model,
        [prepared.encodings[n] for n in kept],
        [prepared.goals[n] for n in kept],
        [_gates(scores[n], [ranked[r] for r in there[n]], n, seed, draws) for n in kept],
        probability,
        description="soft faithfulness",
    )
    found = np.full((len(METRICS), len(scores), len(ranked)), np.nan)
    for n, value in zip(kept, values, strict=True):
        (intact, empty), drawn = value[:2], value[2:].reshape(-1, len(METRICS), draws)
        possible = max(0.0, intact - empty)
        if possible < LEAST:
            continue
        drops = np.maximum(0, intact - drawn).mean(2) / possible
        found[:, n, there[n]] = 1 - drops[:, 0], drops[:, 1]
    rows = [
        row
        for place, metric in enumerate(METRICS)
        for row in rows_of(found[place], ranked, metric, "soft", units, seed)
    ]
    return table_of(rows)


def scaled(score: np.ndarray) -> np.ndarray:
    """Scores (item,) from 0 to 1: negative ones are 0, and the largest is 1 if it is positive."""
    positive = np.maximum(score, 0.0)
    return positive / (positive.max() or 1.0)


def _gates(scores: Scores, names: Sequence[str], number: int, seed: int, draws: int) -> list[Gate]:
    """The whole text, no word, then for each ranking the draws of both metrics."""
    items = scores.items
    gates = [of_tokens(_of_tokens(np.full(len(items), whole), items)) for whole in (1.0, 0.0)]
    for name in names:
        score = ranking(scores, name)
        if score is None:
            continue
        for probabilities in (scaled(score), 1 - scaled(score)):
            own = _of_tokens(probabilities, items)
            gates += [_drawn(own, [seed, number, draw]) for draw in range(draws)]
    return gates


def _of_tokens(values: np.ndarray, items: Items) -> np.ndarray:
    """(token,) from (item,); other tokens have 1."""
    return np.where(items.of_token >= 0, values[items.of_token], 1.0)


def _drawn(probabilities: np.ndarray, stream: list[int]) -> Gate:
    """Elements that are kept with the probabilities (token,) given."""

    def gate(width: int) -> Tensor:
        drawn = np.random.default_rng(stream).random((len(probabilities), width))
        return torch.from_numpy((drawn < probabilities[:, None]).astype(float))

    return gate
