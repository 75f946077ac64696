"""What a probe is measured against: the type lookup and the control task."""

import hashlib
from collections import Counter
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from ...errors import BertologyError


class TypeLookup(ClassifierMixin, BaseEstimator):
    """Predicts the most frequent training label of the word's type, without any context.

    A type is a word form as it stands: case is kept, because "May" and "may" differ. Types
    without training data get the majority label; ties go to the label that is more frequent
    in training, then to the first in sorted order.

    Attributes:
        classes_: labels seen in training, sorted.
        labels_: label of each type seen in training.
        majority_: label of all other types.
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Count labels: X holds word forms, shape (n,) or (n, 1), y labels, shape (n,)."""
        forms, labels = _forms(X), np.asarray(y)
        check_consistent_length(forms, labels)
        self.classes_, counts = np.unique(labels, return_counts=True)
        # Labels from most to least frequent: the first of several best ones then wins ties.
        order = self.classes_[np.argsort(-counts, kind="stable")].tolist()
        self.majority_ = order[0]
        seen: dict[str, Counter[Any]] = {}
        for form, label in zip(forms, labels.tolist(), strict=True):
            seen.setdefault(form, Counter())[label] += 1
        rank = {label: place for place, label in enumerate(order)}
        self.labels_ = {
            form: min(found, key=lambda label: (-found[label], rank[label]))
            for form, found in seen.items()
        }
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """The label of each word form, shape (n,)."""
        check_is_fitted(self)
        labels = [self.labels_.get(form, self.majority_) for form in _forms(X)]
        return np.array(labels, dtype=self.classes_.dtype)

    def __sklearn_tags__(self) -> Any:
        return _with_text_input(super().__sklearn_tags__())


class ControlTask(TransformerMixin, BaseEstimator):
    """Random labels that say nothing about a word but its type (Hewitt & Liang 2019, section 2).

    Every word type gets one label, drawn from the distribution of the labels given to `fit`.
    The draw depends on the seed and the word form alone, so a type has the same label
    wherever it occurs, whether or not `fit` saw it.

    Attributes:
        classes_: labels to draw from, sorted.
        shares_: cumulative share of each, the last being 1.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Take the distribution of the labels y, shape (n,); the word forms X play no part."""
        self.classes_, counts = np.unique(np.asarray(y), return_counts=True)
        self.shares_ = np.cumsum(counts) / counts.sum()
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """The control label of each word form in X, shape (n,) or (n, 1); result (n,)."""
        check_is_fitted(self)
        forms = _forms(X)
        drawn = {form: _uniform(form, self.seed) for form in set(forms)}
        places = np.searchsorted(self.shares_, [drawn[form] for form in forms], side="right")
        return np.asarray(self.classes_[places])

    def __sklearn_tags__(self) -> Any:
        return _with_text_input(super().__sklearn_tags__())


def _uniform(form: str, seed: int) -> float:
    """A number in [0, 1) from a hash, so that it does not depend on what else is drawn."""
    digest = hashlib.blake2b(f"{seed} {form}".encode(), digest_size=8).digest()
    # 53 bits are what a float holds: dividing all 64 could round up to 1.
    return (int.from_bytes(digest, "big") >> 11) / 2**53


def _forms(X: ArrayLike) -> list[str]:
    forms = np.asarray(X)
    if forms.ndim not in (1, 2) or forms.shape[1:] not in ((), (1,)) or not len(forms):
        raise BertologyError(
            f"Word forms of shape {forms.shape} were given; give at least one, in an array of "
            "shape (n,) or (n, 1)."
        )
    return [str(form) for form in forms.ravel()]


def _with_text_input(tags: Any) -> Any:
    tags.input_tags.one_d_array = True
    tags.input_tags.two_d_array = False
    tags.input_tags.string = True
    tags.target_tags.required = True
    return tags
