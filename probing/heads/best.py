"""The best head of each relation, chosen on one half of the units and scored on the other."""

import numpy as np
import pandas as pd

from .halves import best_on_halves, tested
from .hits import Hits
from .relations import DIRECTIONS, OFFSETS, Dependents

COLUMNS = (
    "relation", "direction", "layer", "head", "accuracy", "ci_low", "ci_high", "n",
    "baseline_offset", "baseline_accuracy", "p_adjusted", "same_head",
    "difference", "difference_low", "difference_high", "descriptive", "syntactic",
)  # fmt: skip


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
    found = []
    for relation in dependents.relations:
        rows = dependents.of(relation)
        best = best_on_halves(correct, rows, dependents.unit, offsets, seed=seed)
        if best is not None:
            row = {
                "relation": relation,
                "direction": DIRECTIONS[best.by_even.direction],
                "baseline_offset": OFFSETS[best.by_even.baseline],
                # Whole numbers: exactly ten points are not lost to rounding.
                "syntactic": 10 * best.gained >= best.n,
            }
            found.append({**row, **best.columns})
    return tested(found, COLUMNS)
