"""Iterative null-space projection."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection import GroupShuffleSplit
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from ....errors import BertologyError
from ..estimators.linear import GRID, HELD_OUT, LinearProbe
from ..estimators.training import as_array
from .eraser import Eraser

#: How far above the majority the held-out accuracy may stay (Elazar et al. 2021, section 3).
TOLERANCE = 0.01
#: Directions of a classifier below this share of its largest are rounding.
_NO_DIRECTION = 1e-8


class INLP(Eraser):
    """Project onto what linear classifiers, trained one after the other, cannot see.

    Each round fits a linear probe to what the rounds before left over and removes the row
    space of its weights, until the accuracy on the held-out fifth of the groups is at most one
    point above that of the most frequent label. P projects onto the intersection of all null
    spaces, the complement of the span of all rows, and not by the product of the rounds' own
    projections, which rounding makes no projection (Ravfogel et al. 2020, section 4 and
    appendix A.1).

    The stopping rule is noisy where few groups are held out, and many rounds hurt any model.

    Args:
        rank: remove so many dimensions, whatever the accuracy (where nothing can be learnt, say),
            with the weakest penalty; by default as many as it takes to be at the majority.
        affine: keep the mean of the data; by default P x as published.
        seed: of the held-out part.

    Attributes:
        accuracies_: held-out accuracy before each round; the last one stopped the search, unless
            the rank was given or no dimension is left.
        majority_: share of the most frequent label of the held-out part.
        rounds_: rounds made.
    """

    def __init__(self, rank: int | None = None, affine: bool = False, seed: int = 0) -> None:
        self.rank = rank
        self.affine = affine
        self.seed = seed

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Find the projection.

        Args:
            X: hidden states, (n, hidden).
            y: labels, (n,).
            groups: what is held out together, such as the sentence, (n,); by default every row
                on its own.

        Raises:
            BertologyError: fewer than two labels, or a rank that hidden states of this width lack.
        """
        features, labels = validate_data(
            self, as_array(X), as_array(y), dtype=np.float64, ensure_min_samples=2
        )
        check_classification_targets(labels)
        width = features.shape[1]
        if self.rank is not None and not 0 <= self.rank <= width:
            raise BertologyError(
                f"rank is {self.rank!r} and hidden states have {width} dimensions; give a number "
                f"from 0 to {width}, or None."
            )
        rows = np.arange(len(labels)) if groups is None else np.asarray(groups)
        split = GroupShuffleSplit(n_splits=1, test_size=HELD_OUT, random_state=self.seed)
        fitted, held = next(split.split(features, labels, rows))
        if len(np.unique(labels[fitted])) < 2:
            raise BertologyError(
                f"The training labels are all {str(labels[fitted][0])!r} outside of the held-out "
                "fifth; nothing can be erased. Give two labels or more, each in several groups."
            )
        self.majority_ = _majority(labels[held])
        self.accuracies_: list[float] = []
        self.rounds_ = 0
        mean = features.mean(axis=0)
        strengths = GRID if self.rank is None else GRID[-1:]
        removed = np.empty((width, 0))
        while removed.shape[1] < (width if self.rank is None else self.rank):
            left = features - features @ removed @ removed.T
            probe = LinearProbe(strengths, self.seed).fit(
                left[fitted], labels[fitted], rows[fitted]
            )
            accuracy = float(probe.score(left[held], labels[held]))
            self.accuracies_.append(accuracy)
            if self.rank is None and accuracy <= self.majority_ + TOLERANCE:
                break
            new = _row_space(probe.coef_ - probe.coef_ @ removed @ removed.T)
            if not new.shape[1]:
                break
            removed = np.linalg.qr(np.hstack([removed, new]))[0][:, : self.rank]
            self.rounds_ += 1
        self._keep(removed, mean if self.affine else np.zeros_like(mean))
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


def _majority(labels: np.ndarray) -> float:
    return float(np.unique(labels, return_counts=True)[1].max() / len(labels))


def _row_space(weights: np.ndarray) -> np.ndarray:
    """Orthonormal directions (hidden, rank) that span what sets the rows of the weights apart."""
    if len(weights) > 1:
        # What all labels share does not tell them apart.
        weights = weights - weights.mean(axis=0)
    _, sizes, directions = np.linalg.svd(weights, full_matrices=False)
    return np.asarray(directions[sizes > _NO_DIRECTION * sizes[0]].T)
