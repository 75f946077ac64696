"""The linear probe: multinomial logistic regression, its regularisation chosen on held-out data."""

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupShuffleSplit
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data

#: Inverse strengths of the L2 penalty to choose from, from strong to weak.
GRID = (1e-3, 1e-2, 1e-1, 1.0)
#: Share of the training groups that the choice is made on.
HELD_OUT = 0.2


class LinearProbe(ClassifierMixin, BaseEstimator):
    """Standardised features, then multinomial logistic regression with an L2 penalty.

    C is the one of `Cs` with the best accuracy on a held-out fifth of the training groups
    (the smallest of equals); the model is then fitted on all training data. Where nothing can
    be held out (one group, or one label in the rest) C is the smallest; with a single label
    the prediction is constant. Rows of weight 0 count as absent.

    Args:
        Cs: inverse strengths of the penalty on the summed loss.
        seed: of the split.
        device: where products are computed, such as "cpu" or "cuda".

    Attributes:
        C_: the strength chosen.
        held_out_score_: its accuracy on the held-out groups, NaN where nothing was held out.
        classes_: labels seen in training, sorted.
        coef_: (classes, features), one row for two classes, on the features as given.
        intercept_: (classes,), one entry for two classes, on the features as given.
    """

    def __init__(self, Cs: tuple[float, ...] = GRID, seed: int = 0, device: str = "cpu") -> None:
        self.Cs = Cs
        self.seed = seed
        self.device = device

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Choose C and fit.

        Args:
            X: features, shape (n, features).
            y: labels, shape (n,).
            groups: what is held out together, such as the sentence, shape (n,); by default
                every row on its own.
            sample_weight: of the loss of every row, shape (n,).
        """
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32])
        weight = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, float)
        rows = np.arange(len(y)) if groups is None else np.asarray(groups)
        X, y, weight, rows = X[weight > 0], y[weight > 0], weight[weight > 0], rows[weight > 0]
        self.classes_ = np.unique(y)
        scaler = StandardScaler().fit(X, sample_weight=weight)
        self.C_, self.held_out_score_ = min(self.Cs), float("nan")
        if len(self.classes_) == 1:
            self.coef_, self.intercept_ = np.zeros((1, X.shape[1])), np.zeros(1)
            return self
        Z = scaler.transform(X)
        if len(np.unique(rows)) > 1 and len(self.Cs) > 1:
            split = GroupShuffleSplit(n_splits=1, test_size=HELD_OUT, random_state=self.seed)
            a, b = next(split.split(Z, y, rows))
            if len(np.unique(y[a])) > 1:
                scores = [
                    LogisticRegression(C=c, max_iter=2000).fit(Z[a], y[a], weight[a]).score(
                        Z[b], y[b], weight[b])
                    for c in sorted(self.Cs)
                ]  # fmt: skip
                self.C_ = sorted(self.Cs)[int(np.argmax(scores))]
                self.held_out_score_ = max(scores)
        model = LogisticRegression(C=self.C_, max_iter=2000).fit(Z, y, weight)
        self.coef_ = model.coef_ / scaler.scale_
        self.intercept_ = model.intercept_ - self.coef_ @ scaler.mean_
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Labels of shape (n,) for features of shape (n, features)."""
        return np.asarray(self.classes_[self.predict_proba(X).argmax(axis=1)])

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Probabilities of shape (n, classes), in the order of `classes_`."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        if len(self.classes_) == 1:
            return np.ones((len(X), 1))
        logits = X @ self.coef_.T + self.intercept_
        if len(self.classes_) == 2:
            logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
        e = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(e / e.sum(1, keepdims=True))


def fit_together(
    X: ArrayLike,
    label_sets: Sequence[ArrayLike],
    *,
    groups: ArrayLike | None = None,
    Cs: tuple[float, ...] = GRID,
    seed: int = 0,
    sample_weights: Sequence[ArrayLike | None] | None = None,
    device: str = "cpu",
) -> list[LinearProbe]:
    """Fit a linear probe to each of many label sets on the same features, all at once.

    The probes are those of `LinearProbe(Cs, seed, device).fit(X, y, groups, sample_weight)` for
    one label set after the other, within the tolerance of the solver, in a fraction of the time.

    Args:
        X: features, shape (n, features).
        label_sets: of each probe, the labels, shape (n,): a task's own, a control draw's, …
        groups: what is held out together in the choice of C, shape (n,), as in `LinearProbe.fit`.
        sample_weights: of each probe, the weights of the rows, shape (n,), or None for all 1. A
            subset of the rows is a mask, a bootstrap resample the number of times each is drawn;
            labels of rows of weight 0 are not looked at.
    """
    weights = [None] * len(label_sets) if sample_weights is None else sample_weights
    return [
        LinearProbe(Cs, seed, device).fit(X, labels, groups, weight)
        for labels, weight in zip(label_sets, weights, strict=True)
    ]
