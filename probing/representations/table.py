"""The table of probes: accuracies and differences with their intervals."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ...stats import bootstrap_ratio, is_descriptive, wilson
from .fits import Outcome

COLUMNS = (
    "task", "layer", "probe", "metric", "value", "ci_low", "ci_high", "n", "control",
    "selectivity", "selectivity_ci_low", "selectivity_ci_high",
    "over_lookup", "over_lookup_ci_low", "over_lookup_ci_high",
    "control_sd", "control_seen_words", "value_unseen_words", "n_unseen_words", "c",
    "descriptive",
)  # fmt: skip


def probe_table(outcomes: Sequence[Outcome], units: np.ndarray, *, seed: int) -> pd.DataFrame:
    """The rows of one task, one for each outcome.

    Args:
        outcomes: of one task, the lookup among them.
        units: document or sentence of each word of the task's problem, shape (word,).
    """
    problem = outcomes[0].problem
    lookup = next(o.correct[0] for o in outcomes if o.probe == "lookup")
    seen = problem.seen
    correct = np.stack([o.correct[0] for o in outcomes]).astype(float)
    control = np.stack([o.correct[1:].mean(axis=0) for o in outcomes])
    by_draw = np.stack([o.correct[1:].mean(axis=1) for o in outcomes])
    # (outcome, quantity, word): resampled together, so that differences are paired.
    words = np.stack([correct, correct - control, correct - lookup], axis=1)
    mean, low, high = _intervals(words, units, seed=seed)
    few = bool(is_descriptive(len(lookup), len(np.unique(units))))
    if few:
        low[:, 1:] = high[:, 1:] = np.nan
        low[:, 0], high[:, 0] = wilson(correct.sum(axis=1), np.array(len(lookup)))
    table = pd.DataFrame({
        "task": problem.task,
        "layer": pd.array([o.layer for o in outcomes], dtype="Int64"),
        "probe": [o.probe for o in outcomes],
        "metric": "accuracy",
        "value": mean[:, 0], "ci_low": low[:, 0], "ci_high": high[:, 0],
        "n": len(lookup),
        "control": by_draw.mean(axis=1),
        "selectivity": mean[:, 1],
        "selectivity_ci_low": low[:, 1], "selectivity_ci_high": high[:, 1],
        "over_lookup": mean[:, 2],
        "over_lookup_ci_low": low[:, 2], "over_lookup_ci_high": high[:, 2],
        "control_sd": by_draw.std(axis=1, ddof=1),
        "control_seen_words": _mean(control[:, seen]),
        "value_unseen_words": _mean(correct[:, ~seen]),
        "n_unseen_words": int((~seen).sum()),
        "c": [o.c for o in outcomes],
        "descriptive": few,
    })  # fmt: skip
    return table[list(COLUMNS)]


def _intervals(
    words: np.ndarray, units: np.ndarray, *, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean over words and its bootstrap interval over units: (outcome, quantity) each."""
    present, unit = np.unique(units, return_inverse=True)
    sums = np.zeros((len(present), *words.shape[:-1]))
    np.add.at(sums, unit, np.moveaxis(words, -1, 0))
    return bootstrap_ratio(sums, np.bincount(unit), seed=seed)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis, NaN where it is empty."""
    return values.mean(axis=-1) if values.shape[-1] else np.full(values.shape[:-1], np.nan)
