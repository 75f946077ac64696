"""UAS of every parser, with intervals and paired differences."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ....stats import holm, sign_flip
from ..accuracy import accuracy_interval
from ..hits import sums_by_unit
from .features import ParserInput

#: From a sentence to the head of each word.
Parser = Callable[[ParserInput], np.ndarray]


@dataclass(frozen=True)
class Outcome:
    """How one parser did."""

    system: str
    tree: bool
    """Whether its heads were made a tree."""
    correct: np.ndarray
    """(unit,), correct words of each unit, the mean over seeds."""
    totals: tuple[float, ...] = ()
    """All correct words, of each seed where there are several."""

    @staticmethod
    def mean(outcomes: Sequence["Outcome"]) -> "Outcome":
        """Of one parser trained from several starts, or on several random models."""
        correct = np.mean([outcome.correct for outcome in outcomes], axis=0)
        totals = tuple(float(outcome.correct.sum()) for outcome in outcomes)
        return Outcome(outcomes[0].system, outcomes[0].tree, correct, totals)

    @property
    def seeds(self) -> int:
        return max(1, len(self.totals))

    def deviation(self, words: int) -> float:
        """Standard deviation of UAS over seeds; NaN of a single one."""
        return float(np.std(self.totals, ddof=1) / words) if len(self.totals) > 1 else np.nan


@dataclass(frozen=True)
class Scorer:
    """Turns outcomes on the same words into rows."""

    words: np.ndarray
    """(unit,), words that count."""
    seed: int

    def table(self, outcomes: Sequence[Outcome], base: Outcome) -> pd.DataFrame:
        """One row an outcome, with its difference from `base` (none for `base` itself)."""
        rows = []
        for outcome in outcomes:
            uas, low, high, descriptive = accuracy_interval(
                outcome.correct, self.words, seed=self.seed
            )
            rows.append(
                {
                    "system": outcome.system, "tree": outcome.tree,
                    "uas": float(uas), "ci_low": float(low), "ci_high": float(high),
                    "n": int(self.words.sum()),
                    **self._difference(outcome, base),
                    "seeds": outcome.seeds,
                    "sd": outcome.deviation(int(self.words.sum())), "descriptive": descriptive,
                }
            )  # fmt: skip
        return _with_holm(rows)

    def comparisons(self, pairs: Sequence[tuple[Outcome, Outcome]]) -> pd.DataFrame:
        """One row a pair: the first minus the second."""
        return _with_holm(
            [
                {"system": one.system, "tree": one.tree, "against": other.system}
                | self._difference(one, other)
                for one, other in pairs
            ]
        )

    def _difference(self, one: Outcome, other: Outcome) -> dict[str, float]:
        names = ("difference", "difference_low", "difference_high", "p_adjusted")
        if one is other:
            return dict.fromkeys(names, np.nan)
        gap = one.correct - other.correct
        mean, low, high, descriptive = accuracy_interval(gap, self.words, seed=self.seed)
        if descriptive:
            return dict(zip(names, (float(mean), np.nan, np.nan, np.nan), strict=True))
        p = sign_flip(gap[self.words > 0], seed=self.seed, two_sided=True)
        return dict(zip(names, (float(mean), float(low), float(high), float(p)), strict=True))


def _with_holm(rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    table["p_adjusted"] = holm(table["p_adjusted"].to_numpy(float))
    return table


def by_unit(counts: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Counts (sentence, …) summed over units: (unit, …)."""
    return sums_by_unit(counts, units, int(units.max()) + 1)
