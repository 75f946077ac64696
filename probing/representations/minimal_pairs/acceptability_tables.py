"""The tables of acceptability probes: accuracies and paired differences with their intervals."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pandas as pd

from ....stats import benjamini_hochberg
from .groups import PairGroup
from .table import CHANCE

COLUMNS = (
    "phenomenon", "split", "probe", "layer", "accuracy", "ci_low", "ci_high", "n", "baseline",
    "control", "control_sd", "selectivity", "selectivity_ci_low", "selectivity_ci_high",
    "descriptive",
)  # fmt: skip
COMPARED = (
    "phenomenon", "split", "layer", "against", "difference", "ci_low", "ci_high", "n", "p",
    "p_adjusted", "descriptive",
)  # fmt: skip


@dataclass(frozen=True)
class Answers:
    """What the probes of one hidden state answered about one phenomenon under one split."""

    phenomenon: str
    split: str
    layer: int | None
    """The hidden state that is read; None for the counts of words."""
    group: PairGroup
    correct: np.ndarray
    """(labelling, pair): 1, 0 or 0.5; row 0 is the true labelling."""


def acceptability_table(answers: Sequence[Answers], *, seed: int) -> pd.DataFrame:
    """One row for every answers, in their order.

    Args:
        answers: those of one phenomenon and split beside each other.
    """
    return pd.concat([_rows(together, seed=seed) for together in _problems(answers)],
                     ignore_index=True)  # fmt: skip


def _rows(answers: Sequence[Answers], *, seed: int) -> pd.DataFrame:
    group = answers[0].group
    own = _own(answers)
    control = np.stack([a.correct[1:].mean(axis=0) for a in answers], axis=1)
    by_draw = np.stack([group.average(a.correct[1:].T) for a in answers])
    accuracy, low, high = group.accuracy(own, seed=seed)
    selectivity, selectivity_low, selectivity_high = group.mean(own - control, seed=seed)
    table = pd.DataFrame({
        "phenomenon": answers[0].phenomenon,
        "split": answers[0].split,
        "probe": ["bag_of_words" if a.layer is None else "linear" for a in answers],
        "layer": pd.array([a.layer for a in answers], dtype="Int64"),
        "accuracy": accuracy, "ci_low": low, "ci_high": high,
        "n": len(group), "baseline": CHANCE,
        "control": by_draw.mean(axis=1), "control_sd": by_draw.std(axis=1, ddof=1),
        "selectivity": selectivity,
        "selectivity_ci_low": selectivity_low, "selectivity_ci_high": selectivity_high,
        "descriptive": group.descriptive,
    })  # fmt: skip
    return table[list(COLUMNS)]


def comparison_table(answers: Sequence[Answers], *, seed: int) -> pd.DataFrame:
    """The paired difference of every hidden state from what it is compared with."""
    table = pd.concat([_compared(together, seed=seed) for together in _problems(answers)],
                      ignore_index=True)  # fmt: skip
    table["p_adjusted"] = table.groupby(["split", "against"])["p"].transform(
        lambda p: benjamini_hochberg(p.to_numpy())
    )
    return table[list(COMPARED)]


def _compared(answers: Sequence[Answers], *, seed: int) -> pd.DataFrame:
    group = answers[0].group
    layers = [a for a in answers if a.layer is not None]
    words, own = _own([a for a in answers if a.layer is None]), _own(layers)
    compared = {
        "chance": (layers, own - CHANCE),
        "bag_of_words": (layers, own - words),
        "layer_0": (layers[1:], own[:, 1:] - own[:, :1]),
    }
    parts = []
    for against, (rows, differences) in compared.items():
        mean, low, high = group.mean(differences, seed=seed)
        parts.append(pd.DataFrame({
            "phenomenon": answers[0].phenomenon, "split": answers[0].split,
            "layer": [a.layer for a in rows], "against": against,
            "difference": mean, "ci_low": low, "ci_high": high, "n": len(group),
            "p": group.p(differences, seed=seed), "descriptive": group.descriptive,
        }))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def _own(answers: Sequence[Answers]) -> np.ndarray:
    """(pair, answers): whether the true labelling was told."""
    return np.stack([a.correct[0] for a in answers], axis=1)


def _problems(answers: Sequence[Answers]) -> Iterator[list[Answers]]:
    for _, together in groupby(answers, key=lambda a: (a.phenomenon, a.split)):
        yield list(together)
