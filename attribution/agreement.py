"""Rank agreement of every score with every importance measure."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..stats import kendall_tau_b, rank_biased_overlap, spearman
from .floors import FLOORS
from .means import mean_over_units
from .scores import ATTENTION, IMPORTANCE, Scores

#: Sentences with fewer items are left out: their τ takes too few values.
MIN_ITEMS = 6
#: How two rankings are compared; the first is what the report and the verdict read.
STATISTICS = {
    "kendall_tau_b": kendall_tau_b,
    "spearman": spearman,
    "rank_biased_overlap": rank_biased_overlap,
}
_NAMED = (*ATTENTION, *IMPORTANCE, *FLOORS)


def agreement(scores: Sequence[Scores], units: Sequence[int], *, seed: int) -> pd.DataFrame:
    """Agreement of the rankings by absolute scores, averaged over sentences, in `STATISTICS`.

    Sentences under 6 items and cells with a constant score are left out; `n` counts the
    sentences a cell keeps. `difference` is the paired difference to the best floor: the floor
    with the highest mean is chosen on one half of the units and compared on the other half, and
    the halves swap; `best_floor` names both choices. Intervals are percentile bootstrap over
    units.

    Args:
        units: for each example, the number of the unit (document or sentence) it belongs to.

    Returns:
        `score,against,layer,head,statistic,mean,ci_low,ci_high,n,descriptive,left_out,
        best_floor,difference,difference_low,difference_high,difference_n,
        difference_descriptive`; `layer` and `head` are empty unless `score` is `attention`.
    """
    parts = [_part(name, scores, units, seed) for name in STATISTICS]
    return pd.concat(parts, ignore_index=True)


def _part(
    statistic: str, scores: Sequence[Scores], units: Sequence[int], seed: int
) -> pd.DataFrame:
    """The rows of one statistic."""
    values = np.stack([_compared(own, statistic) for own in scores])
    differences, choices = _floor_differences(values, np.asarray(units))
    means = mean_over_units(values, units, seed)
    to_floor = mean_over_units(differences, units, seed)
    long_enough = sum(len(own.items) >= MIN_ITEMS for own in scores)
    columns: dict[str, np.ndarray] = {
        "mean": means.mean,
        "ci_low": means.low,
        "ci_high": means.high,
        "n": means.n,
        "descriptive": means.descriptive,
        "left_out": long_enough - means.n,
        "best_floor": choices,
        "difference": to_floor.mean,
        "difference_low": to_floor.low,
        "difference_high": to_floor.high,
        "difference_n": to_floor.n,
        "difference_descriptive": to_floor.descriptive,
    }
    return _table(statistic, columns, scores[0].layers, scores[0].heads)


def _table(
    statistic: str, columns: dict[str, np.ndarray], layers: np.ndarray, heads: np.ndarray
) -> pd.DataFrame:
    """One row per cell of the columns (score, against), without a measure against itself."""
    nothing = [None] * len(_NAMED)
    names = [*["attention"] * len(heads), *_NAMED]
    places = list(zip([*layers.tolist(), *nothing], [*heads.tolist(), *nothing], strict=True))
    rows = [
        {
            "score": name,
            "against": against,
            "layer": places[row][0],
            "head": places[row][1],
            "statistic": statistic,
            **{column: values[row, place] for column, values in columns.items()},
        }
        for place, against in enumerate(IMPORTANCE)
        for row, name in enumerate(names)
        if name != against
    ]
    return pd.DataFrame(rows).astype({"layer": "Int64", "head": "Int64"})


def _compared(scores: Scores, statistic: str) -> np.ndarray:
    """(score, against) of one sentence; NaN where it is left out."""
    items = len(scores.items)
    missing = np.full(items, np.nan)
    rows = np.vstack([scores.attention, *[scores.named.get(name, missing) for name in _NAMED]])
    if items < MIN_ITEMS:
        return np.full((len(rows), len(IMPORTANCE)), np.nan)
    against = np.stack([scores.named.get(name, missing) for name in IMPORTANCE])
    return STATISTICS[statistic](np.abs(rows), np.abs(against))


def _floor_differences(taus: np.ndarray, units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Agreement minus that of the best floor, and which floor that was.

    Returns:
        (sentence, score, against), NaN where either is undefined and for the floors themselves;
        (score, against) names, empty for the floors.
    """
    floors = taus[:, -len(FLOORS) :]
    differences = np.full(taus.shape, np.nan)
    chosen_floors: list[list[str]] = [[] for _ in IMPORTANCE]
    # Unit numbers have gaps where examples were skipped, and alternate all the same.
    rank = np.unique(units, return_inverse=True)[1]
    halves = rank % 2 == 0, rank % 2 == 1
    for scored, chosen in (halves, halves[::-1]):
        there = ~np.isnan(floors[chosen])
        counts = there.sum(0)
        totals = np.where(there, floors[chosen], 0.0).sum(0)
        means = np.where(counts > 0, totals / np.maximum(counts, 1), -np.inf)
        for place in range(len(IMPORTANCE)):
            if not counts[:, place].any():
                continue
            best = int(means[:, place].argmax())
            chosen_floors[place].append(FLOORS[best])
            own = taus[scored, :, place] - floors[scored, best, place, None]
            differences[scored, :, place] = own
    differences[:, -len(FLOORS) :] = np.nan
    names = np.full(taus.shape[1:], "", dtype=object)
    names[: -len(FLOORS)] = [" / ".join(dict.fromkeys(own)) for own in chosen_floors]
    return differences, names
