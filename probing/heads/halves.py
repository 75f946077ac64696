"""The best head of a group of rows, chosen on one half of the units and scored on the other."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...stats import MIN_COUNTS, holm, sign_flip
from .accuracy import accuracy_interval
from .hits import Hits, hits_by_unit, hits_of, sums_by_unit


@dataclass(frozen=True)
class Choice:
    """What one half of the data chose."""

    layer: int
    head: int
    direction: int
    baseline: int

    @property
    def cell(self) -> tuple[int, int, int]:
        return self.layer, self.head, self.direction


@dataclass(frozen=True)
class Best:
    """The choices of both halves, each scored on the other half, and both pooled."""

    by_even: Choice
    by_odd: Choice
    accuracy: tuple[float, float, float]
    """With the ends of its interval."""
    baseline_accuracy: float
    gap: tuple[float, float, float]
    """Accuracy minus baseline, paired, with the ends of its interval; NaN if descriptive."""
    gained: float
    """The same as a number of rows."""
    p: float
    """One-sided, from sign-flips over units of correct minus baseline-correct."""
    n: int
    descriptive: bool

    @property
    def columns(self) -> dict[str, object]:
        """What a table says of it; the head is the choice of the even half."""
        accuracy, low, high = self.accuracy
        gap, gap_low, gap_high = self.gap
        even, odd = self.by_even, self.by_odd
        return {
            "layer": even.layer,
            "head": even.head,
            "accuracy": accuracy,
            "ci_low": low,
            "ci_high": high,
            "n": self.n,
            "baseline_accuracy": self.baseline_accuracy,
            "same_head": (even.layer, even.head) == (odd.layer, odd.head),
            "difference": gap,
            "difference_low": gap_low,
            "difference_high": gap_high,
            "descriptive": self.descriptive,
            "p": self.p,
        }


def best_on_halves(
    correct: Hits | np.ndarray,
    rows: np.ndarray,
    units: np.ndarray,
    baselines: np.ndarray,
    *,
    seed: int,
) -> Best | None:
    """The head and the baseline that do best, chosen on even units and scored on odd, and back.

    Args:
        correct: (row, layer, head, direction).
        rows: the rows of the group.
        units: (row,), of all rows.
        baselines: (row, baseline), what each baseline scores on all rows; ties take the first.

    Returns:
        None below 30 rows, or where one half has none.
    """
    even = units[rows] % 2 == 0
    if len(rows) < MIN_COUNTS or even.all() or not even.any():
        return None
    count = int(units.max()) + 1
    by_unit = hits_by_unit(correct, rows, units, count)
    scores = baselines[rows].astype(float)
    by_even = _choose(by_unit[::2], scores[even])
    by_odd = _choose(by_unit[1::2], scores[~even])
    hits = np.where(even, hits_of(correct, rows, by_odd.cell), hits_of(correct, rows, by_even.cell))
    base = np.where(even, scores[:, by_odd.baseline], scores[:, by_even.baseline])
    per_unit = np.bincount(units[rows], minlength=count)
    accuracy, low, high, descriptive = accuracy_interval(
        sums_by_unit(hits, units[rows], count), per_unit, seed=seed
    )
    gaps = sums_by_unit(hits - base, units[rows], count)
    gap, gap_low, gap_high, _ = accuracy_interval(gaps, per_unit, seed=seed)
    p = sign_flip(gaps[per_unit > 0], seed=seed, two_sided=False)
    unknown = np.nan if descriptive else 1.0
    return Best(
        by_even,
        by_odd,
        (float(accuracy), float(low), float(high)),
        float(base.mean()),
        (float(gap), float(gap_low) * unknown, float(gap_high) * unknown),
        float(gaps.sum()),
        float(p) * unknown,
        len(rows),
        descriptive,
    )


def tested(rows: list[dict[str, object]], columns: Sequence[str]) -> pd.DataFrame:
    """The table of rows that hold `Best.columns`, with p adjusted by Holm over them."""
    table = pd.DataFrame(rows, columns=[*columns, "p"])
    table["p_adjusted"] = holm(table.pop("p").to_numpy(float))
    return table


def _choose(by_unit: np.ndarray, baselines: np.ndarray) -> Choice:
    layer, head, direction = np.unravel_index(by_unit.sum(0).argmax(), by_unit.shape[1:])
    return Choice(int(layer), int(head), int(direction), int(baselines.sum(0).argmax()))
