"""The table of probes: accuracies and differences with their intervals."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from ....stats import wilson
from .outcomes import Outcome
from .problems import Problem
from .sums import Units

COLUMNS = (
    "task", "layer", "probe", "metric", "value", "ci_low", "ci_high", "n", "control",
    "selectivity", "selectivity_ci_low", "selectivity_ci_high",
    "over_lookup", "over_lookup_ci_low", "over_lookup_ci_high",
    "control_sd", "control_seen_words", "value_unseen_words", "n_unseen_words", "c",
    "descriptive", "source", "training_sd", "seed_sd", "random_model_sd",
    "unseen_ci_low", "unseen_ci_high", "lookup_unseen_words",
)  # fmt: skip


def probe_table(problem: Problem, outcomes: Sequence[Outcome], units: Units) -> pd.DataFrame:
    """The rows of one task, one for each outcome.

    Args:
        outcomes: of the task, the lookup among them.
    """
    lookup = next(o.own for o in outcomes if o.probe == "lookup")
    unseen = ~problem.seen
    own = np.stack([o.own for o in outcomes])
    control = np.stack([o.control.mean(axis=0) for o in outcomes])
    by_draw = np.stack([o.control.mean(axis=1) for o in outcomes])
    mean, low, high = units.intervals(np.stack([own, own - control, own - lookup], axis=1))
    if units.descriptive:
        low[:, 1:] = high[:, 1:] = np.nan
        low[:, 0], high[:, 0] = wilson(own.sum(axis=1), np.array(own.shape[1]))
    of_unseen = _shares(own[:, unseen], replace(units, of_item=units.of_item[unseen]))
    table = pd.DataFrame({
        "task": problem.task.name,
        "layer": pd.array([o.layer for o in outcomes], dtype="Int64"),
        "probe": [o.probe for o in outcomes],
        "metric": "accuracy",
        "value": mean[:, 0], "ci_low": low[:, 0], "ci_high": high[:, 0],
        "n": own.shape[1],
        "control": by_draw.mean(axis=1),
        "selectivity": mean[:, 1],
        "selectivity_ci_low": low[:, 1], "selectivity_ci_high": high[:, 1],
        "over_lookup": mean[:, 2],
        "over_lookup_ci_low": low[:, 2], "over_lookup_ci_high": high[:, 2],
        "control_sd": by_draw.std(axis=1, ddof=1),
        "control_seen_words": _mean(control[:, problem.control_seen]),
        "value_unseen_words": of_unseen[0],
        "n_unseen_words": int(unseen.sum()),
        "c": [o.c for o in outcomes],
        "descriptive": units.descriptive,
        "source": [o.source for o in outcomes],
        "training_sd": [o.training_sd for o in outcomes],
        "seed_sd": [o.seed_sd for o in outcomes],
        "random_model_sd": [o.random_model_sd for o in outcomes],
        "unseen_ci_low": of_unseen[1], "unseen_ci_high": of_unseen[2],
        "lookup_unseen_words": _mean(lookup[unseen]),
    })  # fmt: skip
    return table[list(COLUMNS)]


def _shares(own: np.ndarray, units: Units) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean of (outcome, item) and its interval: Wilson's where there are few, NaN where none."""
    if units.descriptive:
        return _mean(own), *wilson(own.sum(axis=1), np.array(own.shape[1]))
    return units.intervals(own)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis, NaN where it is empty."""
    return values.mean(axis=-1) if values.shape[-1] else np.full(values.shape[:-1], np.nan)
