"""The linear probe: multinomial logistic regression, its regularisation chosen on held-out data."""

from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

#: Inverse strengths of the L2 penalty to choose from, from strong to weak.
GRID = (1e-3, 1e-2, 1e-1, 1.0)
#: Share of the training groups that the choice is made on.
HELD_OUT = 0.2
# Looser, and weak penalties stop near the solution of the stronger one they start from.
_TOLERANCE, _MAX_ITERATIONS = 1e-4, 2000


class LinearProbe(ClassifierMixin, BaseEstimator):
    """Standardised features, then multinomial logistic regression with an L2 penalty.

    C is the one of `Cs` with the best accuracy on a held-out fifth of the training groups
    (the smallest of equals); the model is then fitted on all training data. Where nothing can
    be held out (one group, or one label in the rest) C is the smallest; with a single label
    the prediction is constant.

    Args:
        Cs: inverse strengths of the penalty on the summed loss.
        seed: of the split.

    Attributes:
        C_: the strength chosen.
        model_: the fitted pipeline.
        classes_: labels seen in training, sorted.
    """

    def __init__(self, Cs: tuple[float, ...] = GRID, seed: int = 0) -> None:
        self.Cs = Cs
        self.seed = seed

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Choose C and fit.

        Args:
            X: features, shape (n, features).
            y: labels, shape (n,).
            groups: what is held out together, such as the sentence, shape (n,); by default
                every row on its own.
        """
        features, labels = validate_data(self, X, y, dtype=[np.float32, np.float64])
        check_classification_targets(labels)
        self.classes_ = np.unique(labels)
        rows = np.arange(len(labels)) if groups is None else np.asarray(groups)
        self.C_ = self._choose(StandardScaler().fit_transform(features), labels, rows)
        last = _regression(self.C_) if len(self.classes_) > 1 else DummyClassifier()
        self.model_ = make_pipeline(StandardScaler(), last).fit(features, labels)
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Labels of shape (n,) for features of shape (n, features)."""
        check_is_fitted(self)
        features = validate_data(self, X, dtype=[np.float32, np.float64], reset=False)
        return np.asarray(self.model_.predict(features))

    def _choose(self, features: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> float:
        grid = sorted(self.Cs)
        if len(np.unique(groups)) < 2:
            return grid[0]
        split = GroupShuffleSplit(n_splits=1, test_size=HELD_OUT, random_state=self.seed)
        fitted, held = next(split.split(features, labels, groups))
        if len(np.unique(labels[fitted])) < 2:
            return grid[0]
        # From strong to weak, each solution is where the search for the next one starts.
        model = _regression(grid[0]).set_params(warm_start=True)
        scores = [
            model.set_params(C=c).fit(features[fitted], labels[fitted]).score(
                features[held], labels[held]
            )
            for c in grid
        ]  # fmt: skip
        return grid[int(np.argmax(scores))]


def _regression(c: float) -> LogisticRegression:
    return LogisticRegression(C=c, tol=_TOLERANCE, max_iter=_MAX_ITERATIONS)
