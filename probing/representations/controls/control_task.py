"""The control task: random labels that can only be learned by heart."""

import hashlib
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .types import checked_types, first_span, with_text_input


class ControlTask(TransformerMixin, BaseEstimator):
    """Random labels that say nothing about a word but its type (Hewitt & Liang 2019, section 2).

    Every word type gets one label, drawn from the distribution of the labels given to `fit`.
    The draw depends on the seed and the word form alone, so a type has the same label
    wherever it occurs, whether or not `fit` saw it.

    Of a pair (two forms with a tab between them) only the first span decides. Two forms hardly
    ever come together again, so labels of whole pairs could not be learned by heart, and any probe
    would look selective; the paper's own control for edges likewise goes by the type of one of the
    two words. Whole sentences hardly ever recur either: their control is at chance, and
    selectivity there is no more than the gain over chance.

    Attributes:
        classes_: labels to draw from, sorted.
        shares_: cumulative share of each, the last being 1.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Take the distribution of the labels y, shape (n,); the types X play no part."""
        self.classes_, counts = np.unique(np.asarray(y), return_counts=True)
        self.shares_ = np.cumsum(counts) / counts.sum()
        return self

    def transform(self, X: ArrayLike) -> np.ndarray:
        """The control label of each type in X, shape (n,) or (n, 1); result (n,)."""
        check_is_fitted(self)
        forms = [first_span(kind) for kind in checked_types(X)]
        drawn = {form: _uniform(form, self.seed) for form in set(forms)}
        places = np.searchsorted(self.shares_, [drawn[form] for form in forms], side="right")
        return np.asarray(self.classes_[places])

    def __sklearn_tags__(self) -> Any:
        return with_text_input(super().__sklearn_tags__())


def _uniform(form: str, seed: int) -> float:
    """A number in [0, 1) from a hash, so that it does not depend on what else is drawn."""
    digest = hashlib.blake2b(f"{seed} {form}".encode(), digest_size=8).digest()
    # 53 bits are what a float holds: dividing all 64 could round up to 1.
    return (int.from_bytes(digest, "big") >> 11) / 2**53
