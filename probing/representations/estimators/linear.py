"""The linear probe: multinomial logistic regression, its regularisation chosen on held-out data."""

from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from .blocks import Features, RowBlocks
from .label_sets import (
    HELD_OUT as HELD_OUT,
)
from .label_sets import (
    checked_column,
    checked_weights,
    coded,
    held_out,
    rows_of,
    weights_of,
)
from .objective import LabelSet, Objective
from .parameters import check_device, check_strengths
from .solver import TOLERANCE, solve

#: Inverse strengths of the L2 penalty to choose from, from strong to weak.
GRID = (1e-3, 1e-2, 1e-1, 1.0)
#: Logits that are computed at once: more are no faster, and L-BFGS remembers 40 numbers for each
#: weight.
_MAX_COLUMNS = 1024
_PREDICTED_ROWS = 8192
#: Features of so few numbers are computed with in double precision: that costs little there, and
#: on little text, which is nearly separable, single precision stops short of the optimum.
_SMALL = 2**22


class LinearProbe(ClassifierMixin, BaseEstimator):
    """Standardised features, then multinomial logistic regression with an L2 penalty.

    C is the one of `Cs` with the best accuracy on a held-out fifth of the training groups
    (the smallest of equals); the model is then fitted on all training data. Where nothing can
    be held out (one group, or one label in the rest) C is the smallest; with a single label
    the prediction is constant. Rows of weight 0 count as absent. The objective is that of
    scikit-learn's LogisticRegression.

    Args:
        Cs: inverse strengths of the penalty on the summed loss.
        seed: of the split.
        device: where products are computed, such as "cpu" or "cuda", in the precision of X (in
            double precision where X is small).
        tol: how far the objective may be above its minimum, as a share of it.

    Attributes:
        C_: the strength chosen.
        held_out_score_: its accuracy on the held-out groups; NaN where nothing was chosen.
        classes_: labels seen in training, sorted.
        coef_: (classes, features), one row for two classes, on the features as given.
        intercept_: (classes,), one entry for two classes, on the features as given.
    """

    def __init__(
        self,
        Cs: tuple[float, ...] = GRID,
        seed: int = 0,
        device: str = "cpu",
        tol: float = TOLERANCE,
    ) -> None:
        self.Cs = Cs
        self.seed = seed
        self.device = device
        self.tol = tol

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Choose C and fit.

        Args:
            X: features, shape (n, features), float32 or float64.
            y: labels, shape (n,).
            groups: what is held out together, such as the sentence, shape (n,); by default
                every row on its own.
            sample_weight: of the loss of every row, shape (n,).
        """
        features, labels = validate_data(self, _plain(X), _plain(y), dtype=_FLOATS)
        _fit([self], features, [labels], _plain(groups), [_plain(sample_weight)])
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Labels of shape (n,) for features of shape (n, features)."""
        check_is_fitted(self)
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Probabilities of shape (n, classes), in the order of `classes_`."""
        check_is_fitted(self)
        features = validate_data(self, _plain(X), dtype=_FLOATS, reset=False)
        if len(self.classes_) == 1:
            return np.ones((len(features), 1))
        # In double precision, because the mean of a feature as given can be far from 0.
        blocks = [
            features[start : start + _PREDICTED_ROWS].astype(np.float64) @ self.coef_.T
            for start in range(0, len(features), _PREDICTED_ROWS)
        ]
        logits = np.concatenate(blocks) + self.intercept_
        if len(self.classes_) == 2:
            return np.concatenate([expit(-logits), expit(logits)], axis=1)
        return np.asarray(softmax(logits, axis=1))


def fit_together(
    X: ArrayLike | RowBlocks,
    label_sets: Sequence[ArrayLike],
    *,
    groups: ArrayLike | None = None,
    Cs: tuple[float, ...] = GRID,
    seed: int = 0,
    sample_weights: Sequence[ArrayLike | None] | None = None,
    device: str = "cpu",
    tol: float = TOLERANCE,
) -> list[LinearProbe]:
    """Fit a linear probe to each of many label sets on the same features, all at once.

    The probes are those of `LinearProbe(Cs, seed, device, tol).fit(X, y, groups, sample_weight)`
    for one label set after the other, within `tol`, in a fraction of the time.

    Args:
        X: features, shape (n, features), float32 or float64; or `RowBlocks`, where they are larger
            than memory.
        label_sets: of each probe, the labels, shape (n,): a task's own, a control draw's, …
        groups: what is held out together in the choice of C, shape (n,), as in `LinearProbe.fit`.
        sample_weights: of each probe, the weights of the rows, shape (n,), or None for all 1. A
            subset of the rows is a mask, a bootstrap resample the number of times each is drawn;
            labels of rows of weight 0 are not looked at.
    """
    features = X if isinstance(X, RowBlocks) else check_array(_plain(X), dtype=_FLOATS)
    weights = [None] * len(label_sets) if sample_weights is None else sample_weights
    if len(weights) != len(label_sets):
        raise ValueError(
            f"{len(label_sets)} label sets came with {len(weights)} sample weights; give one for "
            "each, None for those without."
        )
    probes = [LinearProbe(Cs, seed, device, tol) for _ in label_sets]
    _fit(
        probes, features, [_plain(labels) for labels in label_sets], _plain(groups),
        [_plain(weight) for weight in weights],
    )  # fmt: skip
    return probes


_FLOATS = [np.float64, np.float32]


def _plain(values: Any) -> Any:
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else values


def _fit(
    probes: Sequence[LinearProbe],
    X: np.ndarray | RowBlocks,
    labels: Sequence[ArrayLike],
    groups: ArrayLike | None,
    weights: Sequence[ArrayLike | None],
) -> None:
    """Fit probes that differ in nothing but their labels and weights."""
    check_strengths(probes[0].Cs)
    check_device(probes[0].device)
    count, width = X.shape
    units = np.arange(count) if groups is None else checked_column(groups, count, "groups")
    sets = []
    for probe, own, weight in zip(probes, labels, weights, strict=True):
        probe.n_features_in_, probe.C_ = width, min(probe.Cs)
        probe.held_out_score_ = np.nan
        probe.coef_, probe.intercept_ = np.zeros((1, width)), np.zeros(1)
        label_set, probe.classes_ = coded(
            checked_column(own, count, "labels"), checked_weights(weight, count)
        )
        sets.append(label_set)
    if all(label_set.classes == 1 for label_set in sets):
        return
    if isinstance(X, np.ndarray):  # Rows that no probe is fitted on cost time in every pass.
        used = np.any([weights_of(label_set) > 0 for label_set in sets], axis=0)
        if not used.all():
            X, units = X[used], units[used]
            sets = [rows_of(label_set, used) for label_set in sets]
        if X.size <= _SMALL:
            X = X.astype(np.float64, copy=False)
    features = Features(X, probes[0].device)
    several = [number for number, label_set in enumerate(sets) if label_set.classes > 1]
    for batch in _batches(several, sets):
        _fit_batch(
            [probes[number] for number in batch],
            features,
            [sets[number] for number in batch],
            units,
        )


def _fit_batch(
    probes: Sequence[LinearProbe], features: Features, sets: Sequence[LabelSet], units: np.ndarray
) -> None:
    """Choose C for every probe and fit it on all its rows."""
    starts = _choose(probes, features, sets, units)
    objective = Objective(features, sets)
    prior = objective.prior().split(objective.columns)
    start = torch.cat([
        own if own is not None and own.shape == first.shape else first
        for own, first in zip(starts, prior, strict=True)
    ])  # fmt: skip
    solution = solve(
        objective, [probe.C_ for probe in probes], start=start, tolerance=probes[0].tol
    )
    W, b = objective.plain(solution.theta)
    for probe, coefficients, intercepts in zip(
        probes, W.split(objective.columns), b.split(objective.columns), strict=True
    ):
        probe.coef_ = coefficients.cpu().numpy() * features.inverse
        probe.intercept_ = intercepts.cpu().numpy() - probe.coef_ @ features.mean


def _choose(
    probes: Sequence[LinearProbe], features: Features, sets: Sequence[LabelSet], units: np.ndarray
) -> list[torch.Tensor | None]:
    """Set C_ of every probe that has data to choose on; returns where its search ended."""
    ends: list[torch.Tensor | None] = [None] * len(probes)
    choosing, fitted, held = [], [], []
    for number, (probe, label_set) in enumerate(zip(probes, sets, strict=True)):
        halves = held_out(label_set, units, probe.seed) if len(probe.Cs) > 1 else None
        if halves is not None:
            choosing.append(number)
            fitted.append(halves[0])
            held.append(halves[1])
    if not choosing:
        return ends
    objective = Objective(features, fitted)
    best = np.full(len(choosing), -1.0)
    theta = None
    # From strong to weak, each solution is where the search for the next one starts.
    for c in sorted(probes[0].Cs):
        theta = solve(objective, [c] * len(choosing), start=theta, tolerance=probes[0].tol).theta
        accuracy = objective.accuracy(theta, held).tolist()
        for place, part in enumerate(theta.split(objective.columns)):
            if accuracy[place] > best[place]:
                best[place] = accuracy[place]
                probes[choosing[place]].C_ = c
                probes[choosing[place]].held_out_score_ = accuracy[place]
                ends[choosing[place]] = part
    return ends


def _batches(numbers: Sequence[int], sets: Sequence[LabelSet]) -> Iterator[list[int]]:
    """Consecutive label sets that are solved at once."""
    batch: list[int] = []
    for number in numbers:
        if batch and sum(sets[n].classes for n in [*batch, number]) > _MAX_COLUMNS:
            yield batch
            batch = []
        batch.append(number)
    yield batch
