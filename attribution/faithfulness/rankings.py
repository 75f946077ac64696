"""What is ranked, in which order its words come, and how results are listed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ...errors import AttributionError
from ..agreement import MIN_ITEMS
from ..erasing import Erase, operator_of
from ..means import mean_over_units
from ..scores import SCORES, Scores

REVERSED = "leave_one_out_reversed"
#: Rankings that know the text, but not the model.
INPUT_ONLY = ("position", "frequency")
FLOOR = "random"
BASELINES = (REVERSED, *INPUT_ONLY, FLOOR)
RANKED = (*SCORES, *BASELINES)
COLUMNS = (
    "score", "metric", "operator", "mean", "ci_low", "ci_high", "n", "descriptive",
    "difference", "difference_low", "difference_high",
)  # fmt: skip


def ranking(scores: Scores, name: str) -> np.ndarray | None:
    """The scores (item,) of a ranking, highest first; None where the text has none."""
    if name == REVERSED:
        own = scores.named.get("leave_one_out")
        return None if own is None else -own
    return scores.named.get(name)


def rankings_of(names: Sequence[str], scores: Sequence[Scores]) -> tuple[str, ...]:
    """The names, and the baselines after them.

    Raises:
        AttributionError: a score that no text has.
    """
    known = {name: None for own in scores for name in own.named}
    for name in names:
        if name not in known and name not in SCORES:
            raise AttributionError(
                f"score is {name!r}, which no text has; give some of {', '.join(known)}."
            )
    return (*(name for name in names if name not in BASELINES), *BASELINES)


def long_enough(scores: Sequence[Scores]) -> list[int]:
    """The numbers of the texts that have as many items as agreement asks for."""
    return [number for number, own in enumerate(scores) if len(own.items) >= MIN_ITEMS]


def orders(
    rankings: Sequence[np.ndarray | None], generator: np.random.Generator
) -> list[np.ndarray | None]:
    """For each ranking (item,) of one text its items from the highest down; ties are broken at
    random, and the same way in every ranking."""
    there = next((own for own in rankings if own is not None), None)
    if there is None:
        return [None] * len(rankings)
    ties = generator.random(len(there))
    return [None if own is None else np.lexsort((ties, -own)) for own in rankings]


def tie_breaker(seed: int) -> np.random.Generator:
    """A stream of its own: with the seed alone, ties would fall in the order of the random
    floor."""
    return np.random.default_rng([seed, 1])


def erasers(tokenizer: Any, operators: Sequence[str] | None) -> dict[str, Erase]:
    """The operators by name; unless given, `delete` and what `substitute_for` says.

    Raises:
        AttributionError: an unknown operator, or the tokenizer lacks its token.
    """
    if operators is None:
        operators = ["delete", substitute_for(tokenizer)]
    return {name: operator_of(name, tokenizer) for name in operators}


def substitute_for(tokenizer: Any) -> str:
    """`mask`, or `pad` where the tokenizer has no mask token, or `hide` where it has neither."""
    if tokenizer.mask_token_id is not None:
        return "mask"
    return "hide" if tokenizer.pad_token_id is None else "pad"


def rows_of(
    values: np.ndarray,
    names: Sequence[str],
    metric: str,
    operator: str,
    units: Sequence[int],
    seed: int,
) -> list[tuple[Any, ...]]:
    """One row of `COLUMNS` for each score, with the paired difference to the random ranking.

    Args:
        values: (sentence, score), NaN where a sentence is left out.
    """
    means = mean_over_units(values, units, seed)
    gains = mean_over_units(values - values[:, [list(names).index(FLOOR)]], units, seed)
    return [
        (name, metric, operator, means.mean[at], means.low[at], means.high[at], means.n[at],
         means.descriptive[at], gains.mean[at], gains.low[at], gains.high[at])
        for at, name in enumerate(names)
    ]  # fmt: skip


def table_of(rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    """The rows, those of one score together."""
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    place = {name: number for number, name in enumerate(dict.fromkeys(table["score"]))}
    return table.sort_values(
        "score", key=lambda own: own.map(place), kind="stable", ignore_index=True
    )
