"""Rank agreement of every score with every importance measure, over a corpus."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..floors import FLOORS
from ..means import mean_over_units
from ..scores import IMPORTANCE, SCORES, Scores
from .compared import MIN_ITEMS, Compared, compare
from .statistics import DEFAULT, STATISTICS


def agreement(
    scores: Sequence[Scores],
    units: Sequence[int],
    *,
    seed: int,
    names: Sequence[str] = SCORES,
    against: Sequence[str] = IMPORTANCE,
    statistics: Sequence[str] = DEFAULT,
    signed: bool = False,
) -> pd.DataFrame:
    """Agreement of rankings, averaged over sentences.

    Sentences under 6 items and cells with a constant score are left out; `n` counts the
    sentences a cell keeps. Intervals are percentile bootstrap over units.

    - `chance`: the mean had the items of one score been put in random order.
    - `difference`: paired, to the best floor: the floor that comes closest is chosen on one half
      of the units and compared on the other half, and the halves swap; `best_floor` names both
      choices. Negative differences are better for `jensen_shannon`, where less is closer.
    - `null`: the mean of the same score (of a head: the same head) taken from another text with
      as many items, which shares its preference for places; `null_difference` is paired.

    Args:
        units: for each example, the number of the unit (document or sentence) it belongs to.
        names, against, statistics, signed: see `compare`.

    Returns:
        `score,against,layer,head,statistic,mean,ci_low,ci_high,n,descriptive,left_out,
        best_floor,difference,difference_low,difference_high,difference_n,
        difference_descriptive,chance,null,null_difference,null_low,null_high,null_n`; `layer` and
        `head` are empty unless `score` is `attention`.

    Raises:
        AttributionError: see `compare`.
    """
    compared = compare(
        scores, seed=seed, names=names, against=against, statistics=statistics, signed=signed
    )
    parts = [_part(compared, place, units, seed) for place in range(len(statistics))]
    return pd.concat(parts, ignore_index=True)


def _part(compared: Compared, place: int, units: Sequence[int], seed: int) -> pd.DataFrame:
    """The rows of one statistic."""
    statistic = compared.statistics[place]
    values, null = compared.values[place], compared.null[place]
    differences, choices = _floor_differences(
        values, np.asarray(units), STATISTICS[statistic].higher_is_closer
    )
    means = mean_over_units(values, units, seed)
    to_floor = mean_over_units(differences, units, seed)
    to_null = mean_over_units(values - null, units, seed)
    columns: dict[str, np.ndarray] = {
        "mean": means.mean,
        "ci_low": means.low,
        "ci_high": means.high,
        "n": means.n,
        "descriptive": means.descriptive,
        "left_out": (compared.items >= MIN_ITEMS).sum() - means.n,
        "best_floor": choices,
        "difference": to_floor.mean,
        "difference_low": to_floor.low,
        "difference_high": to_floor.high,
        "difference_n": to_floor.n,
        "difference_descriptive": to_floor.descriptive,
        "chance": mean_of(compared.chance[place]),
        "null": mean_of(null),
        "null_difference": to_null.mean,
        "null_low": to_null.low,
        "null_high": to_null.high,
        "null_n": to_null.n,
    }
    return compared.rows(statistic, columns)


def mean_of(values: np.ndarray) -> np.ndarray:
    """The mean over sentences (sentence, …) that have one; NaN where none has."""
    there = ~np.isnan(values)
    counts = there.sum(0)
    totals = np.where(there, values, 0.0).sum(0)
    return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)


def _floor_differences(
    values: np.ndarray, units: np.ndarray, higher_is_closer: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Agreement minus that of the best floor, and which floor that was.

    Returns:
        (sentence, score, against), NaN where either is undefined and for the floors themselves;
        (score, against) names, empty for the floors.
    """
    floors = values[:, -len(FLOORS) :]
    differences = np.full(values.shape, np.nan)
    chosen_floors: list[list[str]] = [[] for _ in range(values.shape[2])]
    # Unit numbers have gaps where examples were skipped, and alternate all the same.
    rank = np.unique(units, return_inverse=True)[1]
    halves = rank % 2 == 0, rank % 2 == 1
    for scored, chosen in (halves, halves[::-1]):
        means = mean_of(floors[chosen]) if higher_is_closer else -mean_of(floors[chosen])
        for place, own in enumerate(means.T):
            if np.isnan(own).all():
                continue
            best = int(np.nanargmax(own))
            chosen_floors[place].append(FLOORS[best])
            differences[scored, :, place] = (
                values[scored, :, place] - floors[scored, best, place, None]
            )
    differences[:, -len(FLOORS) :] = np.nan
    names = np.full(values.shape[1:], "", dtype=object)
    names[: -len(FLOORS)] = [" / ".join(dict.fromkeys(own)) for own in chosen_floors]
    return differences, names
