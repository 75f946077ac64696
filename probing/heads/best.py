"""The best head of each relation, chosen on one half of the units and scored on the other."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...stats import MIN_COUNTS, holm, sign_flip
from .hits import Hits, hits_by_unit, hits_of, sums_by_unit
from .relations import DIRECTIONS, OFFSETS, Dependents, accuracy_interval, best_offset

COLUMNS = (
    "relation", "direction", "layer", "head", "accuracy", "ci_low", "ci_high", "n",
    "baseline_offset", "baseline_accuracy", "p_adjusted", "same_head",
    "difference", "difference_low", "difference_high", "descriptive", "syntactic",
)  # fmt: skip


@dataclass(frozen=True)
class _Choice:
    """What one half of the data chose."""

    layer: int
    head: int
    direction: int
    offset: int

    @property
    def cell(self) -> tuple[int, int, int]:
        return self.layer, self.head, self.direction


def best_heads(dependents: Dependents, correct: Hits | np.ndarray, *, seed: int) -> pd.DataFrame:
    """The table `best_heads.csv`: one row per relation with at least 30 dependents.

    Units are split into even and odd. Head, direction and offset are chosen on one half and
    scored on the other, then the halves swap; accuracy and baseline pool the two scored
    halves. The columns that name a head are the even half's choice. p is one-sided, from
    sign-flips over units of correct minus baseline-correct, adjusted by Holm over the rows.
    `syntactic`: at least ten points over the baseline, the criterion of Voita et al. 2019 (5.2),
    here where the head was not chosen.

    Args:
        correct: (dependent, layer, head, direction), from `relations.score`.
    """
    offsets = dependents.offset_correct()
    rows, p_values = [], []
    for relation in dependents.relations:
        chosen = dependents.of(relation)
        even = dependents.unit[chosen] % 2 == 0
        if len(chosen) < MIN_COUNTS or even.all() or not even.any():
            continue
        row, p = _row(dependents, correct, offsets[chosen], chosen, even, seed)
        rows.append({"relation": relation, **row})
        p_values.append(p)
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table["p_adjusted"] = holm(np.array(p_values))
    return table


def _row(
    dependents: Dependents,
    correct: Hits | np.ndarray,
    offsets: np.ndarray,
    chosen: np.ndarray,
    even: np.ndarray,
    seed: int,
) -> tuple[dict[str, object], float]:
    count = dependents.units
    by_unit = hits_by_unit(correct, chosen, dependents.unit, count)
    by_even, by_odd = _choose(by_unit[::2], offsets[even]), _choose(by_unit[1::2], offsets[~even])
    hits = np.where(
        even, hits_of(correct, chosen, by_odd.cell), hits_of(correct, chosen, by_even.cell)
    )
    base = np.where(even, offsets[:, by_odd.offset], offsets[:, by_even.offset])
    units, per_unit = dependents.unit[chosen], dependents.per_unit(chosen)
    accuracy, low, high, descriptive = accuracy_interval(
        sums_by_unit(hits, units, count), per_unit, seed=seed
    )
    gap = sums_by_unit(hits.astype(float) - base, units, count)
    gap_mean, gap_low, gap_high, _ = accuracy_interval(gap, per_unit, seed=seed)
    p = sign_flip(gap[per_unit > 0], seed=seed, two_sided=False)
    row = {
        "direction": DIRECTIONS[by_even.direction],
        "layer": by_even.layer,
        "head": by_even.head,
        "accuracy": float(accuracy),
        "ci_low": float(low),
        "ci_high": float(high),
        "n": len(hits),
        "baseline_offset": OFFSETS[by_even.offset],
        "baseline_accuracy": base.mean(),
        "same_head": (by_even.layer, by_even.head) == (by_odd.layer, by_odd.head),
        "difference": float(gap_mean),
        "difference_low": np.nan if descriptive else float(gap_low),
        "difference_high": np.nan if descriptive else float(gap_high),
        "descriptive": descriptive,
        # Whole numbers: exactly ten points are not lost to rounding.
        "syntactic": bool(10 * gap.sum() >= len(hits)),
    }
    return row, np.nan if descriptive else float(p)


def _choose(by_unit: np.ndarray, offsets: np.ndarray) -> _Choice:
    layer, head, direction = np.unravel_index(by_unit.sum(0).argmax(), by_unit.shape[1:])
    return _Choice(int(layer), int(head), int(direction), best_offset(offsets))
