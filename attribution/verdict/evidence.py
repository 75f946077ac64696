"""The evidence for the claims: one number a text, `claim,part,example,unit,value`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..agreement import compare
from ..faithfulness import comprehensiveness
from ..floors import FLOORS
from ..other_half import best_on_other_half
from ..scores import Scores
from ..targets import Prepared
from .declaration import AGREES, FAITHFUL, RANKS, Declaration

COLUMNS = ("claim", "part", "example", "unit", "value")


def rows(
    claim: str, part: str, examples: Sequence[int], units: Sequence[int], values: np.ndarray
) -> pd.DataFrame:
    """The evidence of one claim; texts without a value are left out."""
    table = pd.DataFrame({
        "claim": claim,
        "part": part,
        "example": np.asarray(examples, dtype=int),
        "unit": np.asarray(units, dtype=int),
        "value": np.asarray(values, dtype=float),
    })  # fmt: skip
    return table.dropna(subset=["value"])


def text_evidence(
    model: Any,
    prepared: Prepared,
    scores: Sequence[Scores],
    units: Sequence[int],
    declared: Declaration,
    *,
    seed: int,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """What agreement and erasure say of the primary score.

    - agrees: agreement with the reference, minus that of the floor that is best on the other
      half of the units;
    - faithful, for each operator: comprehensiveness, minus that of a random ranking;
    - ranks: mean comprehensiveness over the operators, minus that of the importance method that
      is best on the other half of the units.

    Returns:
        The evidence; and what was chosen, for the record.
    """
    agrees, floors = _agreement(scores, units, declared, seed)
    parts = [rows(AGREES, declared.statistic, prepared.kept, units, agrees)]
    record: dict[str, Any] = {"best_floor": list(floors)}
    if FAITHFUL in declared.claims or RANKS in declared.claims:
        names = [declared.score, "random", *declared.importance]
        drops = comprehensiveness(
            model, prepared, [own.items for own in scores], [_matrix(own, names) for own in scores],
            operators=declared.operators or None, seed=seed,
        )  # fmt: skip
        best, methods = _erasure(drops, names, units)
        parts += [
            rows(FAITHFUL, operator, prepared.kept, units, own[:, 0] - own[:, 1])
            for operator, own in drops.items()
        ]
        parts.append(rows(RANKS, "all operators", prepared.kept, units, best))
        record |= {"best_method": list(methods), "operators": list(drops)}
    table = pd.concat(parts, ignore_index=True)[list(COLUMNS)]
    return table[table["claim"].isin(declared.claims)].reset_index(drop=True), record


def _agreement(
    scores: Sequence[Scores], units: Sequence[int], declared: Declaration, seed: int
) -> tuple[np.ndarray, tuple[str, ...]]:
    compared = compare(
        scores, seed=seed, names=[declared.score], against=[declared.reference],
        statistics=[declared.statistic], heads=False,
    )  # fmt: skip
    values = compared.values[0, :, :, 0]
    floor, chosen = best_on_other_half(values[:, -len(FLOORS) :], units, FLOORS)
    return values[:, 0] - floor, chosen


def _erasure(
    drops: Mapping[str, np.ndarray], names: Sequence[str], units: Sequence[int]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The primary score, first of the names, against the best of those after the random one."""
    mean = np.mean(list(drops.values()), axis=0)
    best, chosen = best_on_other_half(mean[:, 2:], units, names[2:])
    return mean[:, 0] - best, chosen


def _matrix(scores: Scores, names: Sequence[str]) -> np.ndarray:
    """(score, item), NaN where the text lacks a score."""
    missing = np.full(len(scores.items), np.nan)
    return np.array([scores.named.get(name, missing) for name in names])
