"""Faithfulness: what happens to the prediction when the highest-scored words are erased."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..agreement import MIN_ITEMS
from ..erasing import Erase, delete, outcomes, substitute
from ..goals import probability
from ..means import Means, mean_over_units
from ..scores import ATTENTION, IMPORTANCE, Scores
from ..targets import Prepared

FRACTIONS = (0.1, 0.2, 0.5)
REVERSED = "leave_one_out_reversed"
FLOOR = "random"
RANKED = (*ATTENTION, *IMPORTANCE, REVERSED, FLOOR)
METRICS = ("comprehensiveness", "sufficiency")
ADVANTAGE = "advantage"
COLUMNS = (
    "score", "metric", "operator", "mean", "ci_low", "ci_high", "n", "descriptive",
    "difference", "difference_low", "difference_high",
)  # fmt: skip


def faithfulness(
    model: Any,
    prepared: Prepared,
    scores: Sequence[Scores],
    units: Sequence[int],
    *,
    seed: int,
) -> pd.DataFrame:
    """Comprehensiveness and sufficiency (DeYoung et al. 2020, section 4) of each ranking.

    p(x) − p(x without the top words), and p(x) − p(only the top words), averaged over the top
    10, 20 and 50 % of the words (at least one; no k = 0 term). High comprehensiveness and low
    sufficiency are good. p is the probability of the predicted class or token; for an embedding
    the projection divided by its intact value, for a pair the cosine. Scores rank with their
    sign, highest first, because erasing evidence against the target raises p; ties are broken
    at random. Operators: `delete`, and `mask` (`pad` where the tokenizer has no mask token).

    `advantage`, over all operators: the mean of how much comprehensiveness rises and how much
    sufficiency falls against a random ranking.

    Returns:
        `score,metric,operator,mean,ci_low,ci_high,n,descriptive,difference,difference_low,
        difference_high`; `difference` is the paired difference to the random ranking. Sentences
        under 6 items, and rankings that a sentence lacks, are left out.
    """
    kept = [n for n, own in enumerate(scores) if len(own.items) >= MIN_ITEMS]
    operators = _operators(model.tokenizer)
    drops = np.full((len(scores), len(operators), len(RANKED), 2), np.nan)
    # A stream of its own: with the seed alone, ties would fall in the order of the random floor.
    generator = np.random.default_rng([seed, 1])
    removals = [_removals(scores[n], generator) for n in kept]
    for place, (name, erase) in enumerate(operators.items()):
        values = outcomes(
            model,
            [prepared.encodings[n] for n in kept],
            [prepared.goals[n] for n in kept],
            removals,
            erase,
            probability,
            description=f"faithfulness ({name})",
        )
        for n, value in zip(kept, values, strict=True):
            erased = value[1:].reshape(len(RANKED), 2, len(FRACTIONS))
            drops[n, place] = value[0] - erased.mean(-1)
            drops[n, place, [_ranking(scores[n], name) is None for name in RANKED]] = np.nan
    return _table(drops, list(operators), units, seed)


def _operators(tokenizer: Any) -> dict[str, Erase]:
    if tokenizer.mask_token_id is not None:
        return {"delete": delete, "mask": substitute(tokenizer.mask_token_id)}
    if tokenizer.pad_token_id is not None:
        return {"delete": delete, "pad": substitute(tokenizer.pad_token_id)}
    return {"delete": delete}


def _removals(scores: Scores, generator: np.random.Generator) -> list[np.ndarray]:
    """Token masks: nothing, then for each ranking the top words, then all but the top words."""
    items = scores.items
    removals = [np.zeros(len(items.of_token), dtype=bool)]
    ties = generator.random(len(items))
    for name in RANKED:
        score = _ranking(scores, name)
        if score is None:  # erases nothing here and is left out of the means
            removals += [removals[0]] * (2 * len(FRACTIONS))
            continue
        order = np.lexsort((ties, -score))
        # Half a word counts as one; Python's own rounding would send .5 to the even number.
        tops = [order[: max(1, int(share * len(items) + 0.5))] for share in FRACTIONS]
        removals += [np.isin(items.of_token, top) for top in tops]
        removals += [(items.of_token >= 0) & ~np.isin(items.of_token, top) for top in tops]
    return removals


def _ranking(scores: Scores, name: str) -> np.ndarray | None:
    if name == REVERSED:
        return -scores.named["leave_one_out"]
    return scores.named.get(name)


def _table(
    drops: np.ndarray, operators: list[str], units: Sequence[int], seed: int
) -> pd.DataFrame:
    """Rows from the drops of p: (sentence, operator, ranking, metric)."""
    to_floor = drops - drops[:, :, [RANKED.index(FLOOR)]]
    advantage = (to_floor[..., 0] - to_floor[..., 1]).mean(1) / 2
    means = mean_over_units(drops, units, seed)
    gains = mean_over_units(to_floor, units, seed)
    overall = mean_over_units(advantage, units, seed)
    rows: list[tuple[Any, ...]] = []
    for s, score in enumerate(RANKED):
        for m, metric in enumerate(METRICS):
            for o, operator in enumerate(operators):
                at = o, s, m
                own = _row(score, metric, operator, means, at)
                rows.append((*own, gains.mean[at], gains.low[at], gains.high[at]))
        if score != FLOOR:
            own = _row(score, ADVANTAGE, "all", overall, (s,))
            rows.append((*own, np.nan, np.nan, np.nan))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(
    score: str, metric: str, operator: str, means: Means, at: tuple[int, ...]
) -> tuple[Any, ...]:
    ends = means.mean[at], means.low[at], means.high[at]
    return score, metric, operator, *ends, means.n[at], means.descriptive[at]
