"""What happens to the prediction when the highest-scored words are erased, or all others."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ...errors import AttributionError
from ..scores import SCORES, Scores
from ..targets import Prepared
from .drops import FRACTIONS, METRICS, mean_drops
from .rankings import (
    FLOOR,
    long_enough,
    orders,
    ranking,
    rankings_of,
    rows_of,
    table_of,
    tie_breaker,
)

#: The thresholds of DeYoung et al. 2020.
DEYOUNG = (0.01, 0.05, 0.1, 0.2, 0.5)
ADVANTAGE = "advantage"
#: How drops are averaged; see `faithfulness`.
AVERAGES = ("thresholds", "with_none")


def faithfulness(
    model: Any,
    prepared: Prepared,
    scores: Sequence[Scores],
    units: Sequence[int],
    *,
    seed: int,
    names: Sequence[str] = SCORES,
    operators: Sequence[str] | None = None,
    fractions: Sequence[float] = FRACTIONS,
    average: str = "thresholds",
) -> pd.DataFrame:
    """Comprehensiveness and sufficiency (DeYoung et al. 2020, section 4) of each ranking.

    p(x) − p(x without the top words), and p(x) − p(only the top words), averaged over the top
    10, 20 and 50 % of the words (at least one). High comprehensiveness and low sufficiency are
    good. p is the probability of the predicted class or token; for an embedding the projection
    divided by its intact value, for a pair the cosine. Scores rank with their sign, highest
    first, because erasing evidence against the target raises p; ties are broken at random.
    Baselines are the reversed leave-one-out, the position, the frequency and a random ranking.

    `advantage`, over all operators: the mean of how much comprehensiveness rises and how much
    sufficiency falls against a random ranking.

    Args:
        names: the scores to rank by, by their names in `Scores.named`.
        operators: how words are erased, see `operator_of`; `delete` and `mask` unless given
            (`pad` where the tokenizer has no mask token, `hide` where it has neither). Their
            values do not compare.
        fractions: shares of the words, above 0 and up to 1; `DEYOUNG` has those of the paper.
        average: over the `thresholds`, as the code of the paper does, or `with_none`, where a
            top of no words counts as one more threshold, as the paper has it: nothing is erased
            for comprehensiveness, and for sufficiency every word.

    Returns:
        `score,metric,operator,mean,ci_low,ci_high,n,descriptive,difference,difference_low,
        difference_high`; `difference` is the paired difference to the random ranking. Sentences
        under 6 items, and rankings that a sentence lacks, are left out.

    Raises:
        AttributionError: an unknown score, operator or average, a fraction out of range, or
            nothing would be left of a text.
    """
    _check(fractions, average)
    ranked = rankings_of(names, scores)
    generator = tie_breaker(seed)
    ordered = {
        n: orders([ranking(scores[n], name) for name in ranked], generator)
        for n in long_enough(scores)
    }
    shares = (0.0, *fractions) if average == "with_none" else tuple(fractions)
    found = mean_drops(
        model, prepared, [own.items for own in scores], ordered, len(ranked),
        operators=operators, shares=shares,
    )  # fmt: skip
    # (metric, operator, sentence, ranking)
    drops = np.stack(list(found.values()), axis=1)
    return _table(drops, ranked, list(found), units, seed)


def _check(fractions: Sequence[float], average: str) -> None:
    if average not in AVERAGES:
        raise AttributionError(f"average is {average!r}; give one of {', '.join(AVERAGES)}.")
    if not fractions or not all(0 < share <= 1 for share in fractions):
        raise AttributionError(
            f"fractions are {tuple(fractions)}; give shares of the words above 0 and up to 1."
        )


def _table(
    drops: np.ndarray,
    ranked: Sequence[str],
    operators: Sequence[str],
    units: Sequence[int],
    seed: int,
) -> pd.DataFrame:
    """Rows from the drops of p: (metric, operator, sentence, ranking)."""
    rows = [
        row
        for m, metric in enumerate(METRICS)
        for o, operator in enumerate(operators)
        for row in rows_of(drops[m, o], ranked, metric, operator, units, seed)
    ]
    to_floor = drops - drops[..., [ranked.index(FLOOR)]]
    advantage = (to_floor[0] - to_floor[1]).mean(0) / 2
    for row in rows_of(advantage, ranked, ADVANTAGE, "all", units, seed):
        if row[0] != FLOOR:
            # It is a difference itself.
            rows.append((*row[:8], np.nan, np.nan, np.nan))
    return table_of(rows)
