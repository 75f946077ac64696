"""Classifiers whose answers can be worked out on paper."""

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin


class Fixed(ClassifierMixin, BaseEstimator):
    """Gives the labels 0, 1, … the same probabilities whatever it reads."""

    def __init__(self, shares: tuple[float, ...]) -> None:
        self.shares = shares

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        self.classes_ = np.arange(len(self.shares))
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.full(len(X), np.argmax(self.shares))

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return np.tile(self.shares, (len(X), 1))


class Memory(ClassifierMixin, BaseEstimator):
    """Knows the label of what it has seen, and is wrong about everything else."""

    def fit(self, X: np.ndarray, y: np.ndarray, groups: Any = None) -> Self:
        self.classes_, self.known_ = np.unique(y), dict(zip(X[:, 0].tolist(), y, strict=True))
        self.groups_ = groups
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.array([self.known_.get(item, -1) for item in X[:, 0].tolist()])

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return (self.predict(X)[:, None] == self.classes_).astype(float)
