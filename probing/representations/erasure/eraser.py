"""What all erasers are: affine maps that flatten some directions of the hidden states."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from ..estimators.training import as_array


class Eraser(TransformerMixin, BaseEstimator):
    """x ↦ mean + P (x − mean). Base of the erasers, which differ in how `fit` finds P.

    Because the map is affine, the mean of erased tokens is the erased mean of the tokens: an
    eraser fitted on words (means of their tokens) erases the same words when it is applied to
    every token.

    Attributes:
        projection_: P, (hidden, hidden), with P² = P.
        mean_: (hidden,), what stays where it is: the mean of the training data, or zero for
            erasers that project through the origin.
        rank_: the number of dimensions that are lost, the rank of 1 − P.
    """

    projection_: np.ndarray
    mean_: np.ndarray
    rank_: int

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Erased hidden states, of the shape (n, hidden) and the type of X."""
        check_is_fitted(self)
        features = validate_data(self, as_array(X), dtype=[np.float64, np.float32], reset=False)
        removed = np.eye(len(self.mean_)) - self.projection_
        # What stays is not computed anew, so that erasing nothing changes nothing.
        erased = features - (features - self.mean_) @ removed.T
        return np.asarray(erased.astype(features.dtype, copy=False))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _keep(self, removed: np.ndarray, mean: np.ndarray) -> None:
        """Set the learned state of an orthogonal projection.

        Args:
            removed: (hidden, rank), orthonormal columns.
        """
        projection = np.eye(len(removed)) - removed @ removed.T
        # Exactly symmetric, whatever order the products were summed in.
        self.projection_ = (projection + projection.T) / 2
        self.mean_, self.rank_ = mean, removed.shape[1]


def removed_variance(eraser: Eraser, X: np.ndarray) -> float:
    """The share of the total variance of X (n, hidden) that a fitted eraser takes away."""
    before = np.asarray(X, dtype=float)
    after = eraser.transform(before)
    return float(1 - after.var(axis=0).sum() / before.var(axis=0).sum())
