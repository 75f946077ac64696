"""Iterative null-space projection."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection import GroupKFold
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from ....errors import BertologyError
from ..estimators.linear import GRID, LinearProbe
from ..estimators.training import as_array
from .eraser import Eraser

#: How far above the majority the held-out accuracy may stay (Elazar et al. 2021, section 3).
TOLERANCE = 0.01
#: Directions of a classifier below this share of its largest are rounding.
_NO_DIRECTION = 1e-8
#: Held out in turn, before the search is believed to be at its end.
_FOLDS = 5
#: Rows that are fitted, and rows that are held out.
_Fold = tuple[np.ndarray, np.ndarray]


class INLP(Eraser):
    """Project onto what linear classifiers, trained one after the other, cannot see.

    Each round fits a linear probe to what the rounds before left over and removes the row
    space of its weights, until the accuracy on held-out groups is at most one point above that
    of the most frequent label. One fifth of the groups is held out; once it is at the majority,
    the other fifths are asked in turn, and the search goes on with the probe that still tells
    most unless all of them together are there too: one fifth alone is soon there by chance. P
    projects onto the intersection of all null spaces, the complement of the span of all rows,
    and not by the product of the rounds' own projections, which rounding makes no projection
    (Ravfogel et al. 2020, section 4 and appendix A.1).

    The stopping rule is noisy where few groups are held out, and many rounds hurt any model.

    Args:
        rank: remove so many dimensions, whatever the accuracy (where nothing can be learnt, say),
            with the weakest penalty; by default as many as it takes to be at the majority.
        affine: keep the mean of the data; by default P x as published.
        seed: of the held-out part.

    Attributes:
        accuracies_: accuracy on what was held out before each round (one fifth, or all of them);
            the last one stopped the search, unless the rank was given or no dimension is left.
        majority_: share of the most frequent label in what was held out last.
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
        folds = _folds(labels, rows, self.seed)
        self.accuracies_: list[float] = []
        self.rounds_ = 0
        mean = features.mean(axis=0)
        removed = np.empty((width, 0))
        while removed.shape[1] < (width if self.rank is None else self.rank):
            left = features - features @ removed @ removed.T
            probe = self._probe_that_tells(left, labels, rows, folds)
            if probe is None:
                break
            new = _row_space(probe.coef_ - probe.coef_ @ removed @ removed.T)
            if not new.shape[1]:
                break
            removed = np.linalg.qr(np.hstack([removed, new]))[0][:, : self.rank]
            self.rounds_ += 1
        self._keep(removed, mean if self.affine else np.zeros_like(mean))
        return self

    def _probe_that_tells(
        self, left: np.ndarray, labels: np.ndarray, rows: np.ndarray, folds: Sequence[_Fold]
    ) -> LinearProbe | None:
        """A probe of what is left; None where what is held out is at the majority."""
        # The penalty is chosen on few rows, and the strongest of equals hides what a weaker one
        # still reads: before the end, the weakest is asked too.
        for strengths in (GRID, GRID[-1:]) if self.rank is None else (GRID[-1:],):
            probes: list[LinearProbe] = []
            right: list[np.ndarray] = []
            for number, (fitted, held) in enumerate(folds, start=1):
                probe = LinearProbe(strengths, self.seed).fit(
                    left[fitted], labels[fitted], rows[fitted]
                )
                probes.append(probe)
                right.append(probe.predict(left[held]) == labels[held])
                accuracy = float(np.concatenate(right).mean())
                self.majority_ = _majority(labels[np.concatenate([h for _, h in folds[:number]])])
                if self.rank is not None or accuracy > self.majority_ + TOLERANCE:
                    self.accuracies_.append(accuracy)
                    return probes[int(np.argmax([part.mean() for part in right]))]
        self.accuracies_.append(accuracy)
        return None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


def _folds(labels: np.ndarray, rows: np.ndarray, seed: int) -> list[_Fold]:
    """Fifths of the groups, each with the rest it is held out of; only where the rest has two
    labels can anything be told."""
    groups = len(np.unique(rows))
    if groups < 2:
        raise _nothing_to_fit(labels)
    split = GroupKFold(min(_FOLDS, groups), shuffle=True, random_state=seed)
    folds = [
        (fitted, held)
        for fitted, held in split.split(labels, labels, rows)
        if len(np.unique(labels[fitted])) > 1
    ]
    if not folds:
        raise _nothing_to_fit(labels)
    return folds


def _nothing_to_fit(labels: np.ndarray) -> BertologyError:
    return BertologyError(
        f"The training labels are all {str(labels[0])!r} outside of the held-out fifth; nothing "
        "can be erased. Give two labels or more, each in several groups."
    )


def _majority(labels: np.ndarray) -> float:
    return float(np.unique(labels, return_counts=True)[1].max() / len(labels))


def _row_space(weights: np.ndarray) -> np.ndarray:
    """Orthonormal directions (hidden, rank) that span what sets the rows of the weights apart."""
    if len(weights) > 1:
        # What all labels share does not tell them apart.
        weights = weights - weights.mean(axis=0)
    _, sizes, directions = np.linalg.svd(weights, full_matrices=False)
    return np.asarray(directions[sizes > _NO_DIRECTION * sizes[0]].T)
