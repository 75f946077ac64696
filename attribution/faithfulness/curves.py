"""Deletion and insertion: the prediction as words go or come one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.integrate import trapezoid

from ...errors import AttributionError
from ..erasing import outcomes
from ..goals import probability
from ..means import mean_over_units
from ..scores import SCORES, Scores
from ..targets import Prepared
from .rankings import (
    erasers,
    long_enough,
    orders,
    ranking,
    rankings_of,
    rows_of,
    substitute_for,
    table_of,
    tie_breaker,
)

STEPS = 10
CURVES = ("deletion", "insertion")


@dataclass(frozen=True)
class Curves:
    """Curves and the areas under them."""

    table: pd.DataFrame
    """`score,metric,operator,mean,ci_low,ci_high,n,descriptive,difference,difference_low,
    difference_high`: areas, with the paired difference to the random ranking."""
    points: pd.DataFrame
    """`score,metric,operator,share,mean,ci_low,ci_high,n,descriptive`: p at each share of the
    words that are erased, or put back."""


def curves(
    model: Any,
    prepared: Prepared,
    scores: Sequence[Scores],
    units: Sequence[int],
    *,
    seed: int,
    names: Sequence[str] = SCORES,
    operators: Sequence[str] | None = None,
    steps: int = STEPS,
) -> Curves:
    """Deletion and insertion (Petsiuk et al. 2018, section 3.2) of each ranking.

    p after the words are erased from the highest-scored down, and p as they come back into a
    text without any. The area is that under p against the share of words, by trapezoids: low for
    deletion and high for insertion are good. Rankings, ties and p are those of `faithfulness`.

    Args:
        names: the scores to rank by.
        operators: see `operator_of`; `mask` unless given, `pad` where there is no mask token, and
            `hide` where there is neither.
        steps: equal shares of the words from none to all; in shorter texts some steps are empty.

    Raises:
        AttributionError: an unknown score or operator, no step, or nothing would be left of a
            text.
    """
    if steps < 1:
        raise AttributionError(f"steps is {steps}; give at least 1.")
    ranked = rankings_of(names, scores)
    chosen = erasers(model.tokenizer, operators or [substitute_for(model.tokenizer)])
    kept = long_enough(scores)
    generator = tie_breaker(seed)
    ordered = [orders([ranking(scores[n], name) for name in ranked], generator) for n in kept]
    counts = [_counts(len(scores[n].items), steps) for n in kept]
    removals = [
        _removals(scores[n].items.of_token, own, count)
        for n, own, count in zip(kept, ordered, counts, strict=True)
    ]
    rows: list[tuple[Any, ...]] = []
    points = []
    for name, erase in chosen.items():
        values = outcomes(
            model,
            [prepared.encodings[n] for n in kept],
            [prepared.goals[n] for n in kept],
            removals,
            erase,
            probability,
            description=f"curves ({name})",
        )
        found = np.full((len(CURVES), len(scores), len(ranked), steps + 1), np.nan)
        areas = np.full(found.shape[:-1], np.nan)
        for n, own, count, value in zip(kept, ordered, counts, values, strict=True):
            there = [order is not None for order in own]
            by_curve = value.reshape(-1, len(CURVES), steps + 1).swapaxes(0, 1)
            found[:, n, there] = by_curve
            areas[:, n, there] = trapezoid(by_curve, count / count[-1])
        for place, metric in enumerate(CURVES):
            rows += rows_of(areas[place], ranked, metric, name, units, seed)
            points.append(_points(found[place], ranked, metric, name, units, seed))
    return Curves(table_of(rows), pd.concat(points, ignore_index=True))


def _counts(items: int, steps: int) -> np.ndarray:
    """(step,) how many items each step takes, from none to all."""
    return (np.arange(steps + 1) * items / steps + 0.5).astype(int)


def _removals(
    of_token: np.ndarray, ordered: Sequence[np.ndarray | None], counts: np.ndarray
) -> list[np.ndarray]:
    """Token masks: for each ranking the tops, then all but the tops."""
    removals = []
    for order in ordered:
        if order is not None:
            tops = [np.isin(of_token, order[:count]) for count in counts]
            removals += [*tops, *[(of_token >= 0) & ~top for top in tops]]
    return removals


def _points(
    values: np.ndarray,
    ranked: Sequence[str],
    metric: str,
    operator: str,
    units: Sequence[int],
    seed: int,
) -> pd.DataFrame:
    """Rows from p: (sentence, ranking, step)."""
    means = mean_over_units(values, units, seed)
    steps = values.shape[-1]
    return pd.DataFrame({
        "score": np.repeat(ranked, steps),
        "metric": metric,
        "operator": operator,
        "share": np.tile(np.linspace(0, 1, steps), len(ranked)),
        "mean": means.mean.ravel(),
        "ci_low": means.low.ravel(),
        "ci_high": means.high.ravel(),
        "n": means.n.ravel(),
        "descriptive": means.descriptive.ravel(),
    })  # fmt: skip
