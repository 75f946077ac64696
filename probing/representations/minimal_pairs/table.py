"""The table of preferences: accuracies of paradigms, of phenomena, and over all."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ....stats import benjamini_hochberg, holm
from .groups import PairGroup

COLUMNS = (
    "level", "name", "measure", "accuracy", "ci_low", "ci_high", "n", "baseline",
    "difference", "difference_ci_low", "difference_ci_high",
    "n_equal_length", "accuracy_equal_length", "p", "p_adjusted", "descriptive",
)  # fmt: skip
#: Accuracy of a model that knows nothing.
CHANCE = 0.5
#: Scores closer than this, relative to their size, differ by rounding only.
_ROUNDING = 1e-6


def preferred(good: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """(pair,): 1 where the good sentence scores higher, 0.5 for a tie, else 0."""
    tied = np.isclose(good, bad, rtol=_ROUNDING, atol=0.0)
    return np.where(tied, CHANCE, (good > bad).astype(float))


def preference_table(
    scores: pd.DataFrame, measures: dict[str, tuple[np.ndarray, np.ndarray]], *, seed: int
) -> pd.DataFrame:
    """One row for each measure and paradigm, phenomenon and mean over all.

    Args:
        scores: of each pair `paradigm`, `phenomenon`, `unit`, `good_tokens`, `bad_tokens`.
        measures: of each measure the scores of the good and of the bad sentences, (pair,) each.
    """
    return pd.concat(
        [_rows(scores, name, *sides, seed=seed) for name, sides in measures.items()],
        ignore_index=True,
    )


def _rows(
    scores: pd.DataFrame, measure: str, good: np.ndarray, bad: np.ndarray, *, seed: int
) -> pd.DataFrame:
    correct = preferred(good, bad)
    equal = (scores["good_tokens"] == scores["bad_tokens"]).to_numpy()
    rows = []
    for level, name, members, pooled in _groups(scores):
        group = PairGroup(
            scores["paradigm"].to_numpy()[members], scores["unit"].to_numpy()[members], pooled
        )
        right = correct[members][:, None]
        accuracy = group.accuracy(right, seed=seed)
        difference = group.mean((good - bad)[members][:, None], seed=seed)
        alike = correct[members & equal]
        rows.append([
            level, name, measure, *(float(part[0]) for part in accuracy), len(group), CHANCE,
            *(float(part[0]) for part in difference),
            len(alike), float(alike.mean()) if len(alike) else np.nan,
            float(group.p(right - CHANCE, seed=seed)[0]), np.nan, group.descriptive,
        ])  # fmt: skip
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    p, levels = table["p"].to_numpy(), table["level"].to_numpy()
    adjusted = p.copy()
    # A data set asks about few phenomena; its many paradigms are screened.
    for level, adjust in (("paradigm", benjamini_hochberg), ("phenomenon", holm)):
        adjusted[levels == level] = adjust(p[levels == level])
    table["p_adjusted"] = adjusted
    return table


def _groups(scores: pd.DataFrame) -> Iterator[tuple[str, str, np.ndarray, bool]]:
    """Level, name, members and whether pairs are pooled, of each row in order."""
    for level in ("paradigm", "phenomenon"):
        names = scores[level].to_numpy()
        for name in dict.fromkeys(names):
            yield level, str(name), names == name, False
    everything = np.ones(len(scores), dtype=bool)
    yield "overall", "paradigms", everything, False
    yield "overall", "pairs", everything, True
