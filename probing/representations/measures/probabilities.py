"""Probes fitted to several label sets, and the bits that labels cost under their probabilities."""

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import GroupShuffleSplit
from sklearn.utils.validation import has_fit_parameter

from ....errors import BertologyError
from ..estimators.linear import HELD_OUT, LinearProbe, fit_together


def fit_probes(
    estimator: Any, X: np.ndarray, label_sets: np.ndarray, groups: np.ndarray
) -> list[Any]:
    """A copy of the estimator fitted to each label set; linear probes are solved together.

    Where there is one label only, it gets all of the probability.

    Args:
        label_sets: (set, item), such as a task's own labels and those of control draws.
        groups: (item,), the sentences: what is held out together where the estimator chooses
            its regularisation.
    """
    if isinstance(estimator, LinearProbe):
        return fit_together(X, list(label_sets), groups=groups, **estimator.get_params())
    grouped = {"groups": groups} if has_fit_parameter(estimator, "groups") else {}
    return [
        clone(estimator).fit(X, labels, **grouped)
        if (labels != labels[0]).any()
        else DummyClassifier().fit(X, labels)
        for labels in label_sets
    ]


def fit_likely(
    estimator: Any, X: np.ndarray, label_sets: np.ndarray, groups: np.ndarray
) -> list[Any]:
    """The same, with penalties that are chosen by likelihood where the estimator has a grid `Cs`.

    The probes' own rule looks at accuracy, which strong penalties hardly lower although they draw
    all probabilities to the middle; bits would then be far too many. Here each label set gets the
    strength under which the labels of a held-out fifth of the groups cost the fewest bits (the
    strongest of equals, and where nothing can be held out), and is then fitted to all items.
    """
    options = estimator.get_params()
    grid = sorted(options.get("Cs", ()))
    if not grid:
        return fit_probes(estimator, X, label_sets, groups)
    best = np.zeros(len(label_sets), int)
    if len(grid) > 1 and len(np.unique(groups)) > 1:
        split = GroupShuffleSplit(1, test_size=HELD_OUT, random_state=options.get("seed", 0))
        rows, held = next(split.split(X, groups=groups))
        trials = [
            fit_probes(_with(estimator, c), X[rows], label_sets[:, rows], groups[rows])
            for c in grid
        ]  # fmt: skip
        classes = len(np.unique(label_sets))
        costs = [
            [
                bits(label_probabilities(probe, X[held], own), classes, len(rows)).sum()
                for probe, own in zip(probes, label_sets[:, held], strict=True)
            ]
            for probes in trials
        ]
        best = np.argmin(costs, axis=0)
    probes: list[Any] = [None] * len(label_sets)
    for place in np.unique(best):
        alike = np.flatnonzero(best == place)
        fitted = fit_probes(_with(estimator, grid[place]), X, label_sets[alike], groups)
        for row, probe in zip(alike, fitted, strict=True):
            probes[row] = probe
    return probes


def _with(estimator: Any, c: float) -> Any:
    return clone(estimator).set_params(Cs=(c,))


def label_probabilities(probe: Any, X: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(item,): the probability that a fitted classifier gives to each label; 0 if it knows none."""
    found = np.minimum(np.searchsorted(probe.classes_, labels), len(probe.classes_) - 1)
    own = probe.predict_proba(X)[np.arange(len(labels)), found]
    return np.where(probe.classes_[found] == labels, own, 0.0)


def bits(probabilities: np.ndarray, classes: int, trained_on: int) -> np.ndarray:
    """What labels cost, in bits, if a probe gives them these probabilities.

    A label that was not seen in training would cost infinitely many bits. The probabilities are
    therefore mixed with the uniform distribution over all labels, which gets the weight
    1 / (items trained on + 1): it is set by the training data alone, makes no label cost more than
    log2(classes · (items trained on + 1)), and adds less than 1.5 bits to as many items as the
    probe was trained on.
    """
    weight = 1 / (trained_on + 1)
    return -np.log2((1 - weight) * probabilities + weight / classes)


def check_label_sets(X: np.ndarray, label_sets: np.ndarray) -> None:
    """Refuse label sets that do not belong to X, or that there is nothing to learn of.

    Raises:
        BertologyError: shapes that do not match, or one label only.
    """
    if label_sets.ndim != 2 or label_sets.shape[1] != len(X) or not label_sets.size:
        raise BertologyError(
            f"Label sets of shape {label_sets.shape} were given for {len(X)} items; give "
            "(set, item): the task's own labels, then those of every control draw."
        )
    if (label_sets[0] == label_sets[0, 0]).all():
        raise BertologyError(
            f"All {len(X)} items have the label {str(label_sets[0, 0])!r}, so there is nothing to "
            "learn; give items with at least two labels."
        )


def check_evaluation(
    X_eval: np.ndarray, eval_label_sets: np.ndarray, label_sets: np.ndarray
) -> None:
    """Refuse evaluation labels that do not belong to the items or to the training labels.

    Raises:
        BertologyError: shapes that do not match.
    """
    if eval_label_sets.shape != (len(label_sets), len(X_eval)):
        raise BertologyError(
            f"Label sets of shape {eval_label_sets.shape} were given for {len(X_eval)} evaluation "
            f"items and {len(label_sets)} sets of training labels."
        )


def check_gives_probabilities(estimator: Any) -> None:
    """Refuse a classifier without probabilities.

    Raises:
        BertologyError: it has no `predict_proba`.
    """
    if not hasattr(estimator, "predict_proba"):
        raise BertologyError(
            f"{type(estimator).__name__} gives no probabilities (predict_proba); give a classifier "
            "that does, such as LinearProbe."
        )
