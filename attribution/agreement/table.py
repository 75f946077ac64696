"""Rank agreement of every score with every importance measure, over a corpus."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..floors import FLOORS
from ..means import mean_of, mean_over_units
from ..other_half import best_on_other_half
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
    differences, choices = _floor_differences(values, units, STATISTICS[statistic].higher_is_closer)
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


def _floor_differences(
    values: np.ndarray, units: Sequence[int], higher_is_closer: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Agreement minus that of the best floor, and which floor that was.

    Returns:
        (sentence, score, against), NaN where either is undefined and for the floors themselves;
        (score, against) names, empty for the floors.
    """
    sign = 1 if higher_is_closer else -1
    differences = np.full(values.shape, np.nan)
    names = np.full(values.shape[1:], "", dtype=object)
    for place in range(values.shape[2]):
        own = values[:, :, place]
        floor, chosen = best_on_other_half(sign * own[:, -len(FLOORS) :], units, FLOORS)
        differences[:, : -len(FLOORS), place] = own[:, : -len(FLOORS)] - sign * floor[:, None]
        names[: -len(FLOORS), place] = " / ".join(chosen)
    return differences, names
