"""Agreement by class, and by the length of the text."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from ...errors import AttributionError
from ..means import mean_of, mean_over_units
from ..scores import IMPORTANCE, SCORES, Scores
from .compared import MIN_ITEMS, Compared, compare
from .statistics import DEFAULT

#: Fewest items of each length stratum.
LENGTHS = (MIN_ITEMS, 10, 20, 50)


def agreement_strata(
    scores: Sequence[Scores],
    units: Sequence[int],
    *,
    seed: int,
    classes: Sequence[str] | None = None,
    lengths: Sequence[int] = LENGTHS,
    names: Sequence[str] = SCORES,
    against: Sequence[str] = IMPORTANCE,
    statistics: Sequence[str] = DEFAULT[:1],
    signed: bool = False,
    heads: bool = False,
) -> pd.DataFrame:
    """Agreement in the sentences of each class, and in those of each range of lengths.

    A mean over all lengths mixes statistics of different spread and different chance; classes
    can differ too (Jain & Wallace 2019, table 2).

    Args:
        classes: for each example its class, as a rule the predicted one (`Goal.name`).
        lengths: fewest items of each stratum, ascending; shorter texts are left out.
        names, against, statistics, signed, heads: see `compare`.

    Returns:
        `score,against,layer,head,statistic,mean,ci_low,ci_high,n,descriptive,chance,null,by,
        stratum`, with `by` either `class` or `length` and a stratum of lengths like `10-19`.

    Raises:
        AttributionError: lengths that do not ascend, or not one class for each example; and see
            `compare`.
    """
    strata = _by_length([len(own.items) for own in scores], lengths)
    if classes is not None:
        if len(classes) != len(scores):
            raise AttributionError(
                f"There are {len(classes)} classes for {len(scores)} examples; give one each."
            )
        given = np.array(classes)
        strata += [("class", str(name), given == name) for name in dict.fromkeys(classes)]
    compared = compare(
        scores,
        seed=seed,
        names=names,
        against=against,
        statistics=statistics,
        signed=signed,
        heads=heads,
    )
    numbers = np.asarray(units)
    parts = [
        table.assign(by=by, stratum=stratum)
        for by, stratum, chosen in strata
        if chosen.any()
        for table in means_of(compared.of(chosen), numbers[chosen], seed)
    ]
    return pd.concat(parts, ignore_index=True)


def means_of(
    compared: Compared, units: Sequence[int] | np.ndarray, seed: int
) -> list[pd.DataFrame]:
    """Means and what they are read against: a table for each statistic."""
    tables = []
    for place, statistic in enumerate(compared.statistics):
        means = mean_over_units(compared.values[place], list(units), seed)
        columns = {
            "mean": means.mean,
            "ci_low": means.low,
            "ci_high": means.high,
            "n": means.n,
            "descriptive": means.descriptive,
            "chance": mean_of(compared.chance[place]),
            "null": mean_of(compared.null[place]),
        }
        tables.append(compared.rows(statistic, columns))
    return tables


def _by_length(items: Sequence[int], lengths: Sequence[int]) -> list[tuple[str, str, np.ndarray]]:
    if not lengths or any(low >= high for low, high in pairwise(lengths)):
        raise AttributionError(
            f"lengths are {tuple(lengths)}; give the fewest items of each stratum, ascending."
        )
    stratum = np.searchsorted(lengths, items, side="right") - 1
    ends = [f"{low}-{high - 1}" for low, high in pairwise(lengths)]
    return [
        ("length", name, stratum == place) for place, name in enumerate([*ends, f"{lengths[-1]}+"])
    ]
