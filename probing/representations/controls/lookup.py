"""The type lookup: what can be said of an item without any context."""

from collections import Counter
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from .types import checked_types, first_span, with_text_input

#: What a type is looked up by, from narrow to wide; a word's first span is the word itself.
BACKOFF: tuple[Callable[[str], str], ...] = (
    str,
    str.lower,
    first_span,
    lambda kind: first_span(kind).lower(),
)


class TypeLookup(ClassifierMixin, BaseEstimator):
    """Predicts the most frequent training label of the item's type, without any context.

    A type is a word form, or the forms of a pair with a tab between them. It is looked up as it
    stands, then in lower case, then by the first span of the pair alone (as it stands, and in
    lower case). What is not found gets the majority label; ties go to the label that is more
    frequent in training, then to the first in sorted order.

    Attributes:
        classes_: labels seen in training, sorted.
        labels_: for each step of the backoff, the label of every key seen in training.
        majority_: label of what is not found.
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Count labels: X holds types, shape (n,) or (n, 1), y labels, shape (n,)."""
        types, labels = checked_types(X), np.asarray(y)
        check_consistent_length(types, labels)
        self.classes_, counts = np.unique(labels, return_counts=True)
        # Labels from most to least frequent: the first of several best ones then wins ties.
        order = self.classes_[np.argsort(-counts, kind="stable")].tolist()
        self.majority_ = order[0]
        rank = {label: place for place, label in enumerate(order)}
        self.labels_ = [_most_frequent(map(key, types), labels.tolist(), rank) for key in BACKOFF]
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """The label of each type, shape (n,)."""
        check_is_fitted(self)
        types = checked_types(X)
        found = {kind: self._label(kind) for kind in set(types)}
        return np.array([found[kind] for kind in types], dtype=self.classes_.dtype)

    def _label(self, kind: str) -> Any:
        for key, labels in zip(BACKOFF, self.labels_, strict=True):
            if (found := key(kind)) in labels:
                return labels[found]
        return self.majority_

    def __sklearn_tags__(self) -> Any:
        return with_text_input(super().__sklearn_tags__())


def _most_frequent(keys: Any, labels: list[Any], rank: dict[Any, int]) -> dict[str, Any]:
    seen: dict[str, Counter[Any]] = {}
    for key, label in zip(keys, labels, strict=True):
        seen.setdefault(key, Counter())[label] += 1
    return {
        key: min(found, key=lambda label: (-found[label], rank[label]))
        for key, found in seen.items()
    }
