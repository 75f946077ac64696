"""Erasers that know nothing of the labels: what any loss of dimensions or variance does."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import eigh
from scipy.stats import ortho_group
from sklearn.base import clone
from sklearn.utils.validation import validate_data

from ....errors import BertologyError
from ..estimators.training import as_array
from .eraser import Eraser


class RandomRank(Eraser):
    """Remove a random subspace of a given dimension, drawn evenly from all there are.

    The control of amnesic probing (Elazar et al. 2021, section 2.3).

    Args:
        rank: its dimension; 0 removes nothing.
        affine: keep the mean of the data; otherwise project through the origin.
    """

    def __init__(self, rank: int = 1, affine: bool = True, seed: int = 0) -> None:
        self.rank = rank
        self.affine = affine
        self.seed = seed

    def fit(self, X: ArrayLike, y: Any = None, groups: Any = None) -> Self:
        """Draw the subspace; X (n, hidden) gives its mean, labels and groups are not used.

        Raises:
            BertologyError: a rank that hidden states of this width do not have.
        """
        features = validate_data(self, as_array(X), dtype=np.float64)
        width = features.shape[1]
        if not 0 <= self.rank <= width:
            raise BertologyError(
                f"rank is {self.rank!r} and hidden states have {width} dimensions; give a number "
                f"from 0 to {width}."
            )
        directions = _random_basis(width, self.seed)[:, : self.rank]
        self._keep(directions, _mean(features, self.affine))
        return self


class RandomVariance(Eraser):
    """Remove a random subspace that holds a given share of the variance.

    Random orthogonal directions are removed one after the other while their variance fits into
    the share. The last direction makes the match exact: it lies in the plane between the next
    random direction, which holds too much, and the direction of least variance that is left, at
    the angle where the rest of the share is held.

    Args:
        share: of the total variance of the training data, from 0 to 1.
        affine: keep the mean of the data; otherwise project through the origin.
    """

    def __init__(self, share: float = 0.5, affine: bool = True, seed: int = 0) -> None:
        self.share = share
        self.affine = affine
        self.seed = seed

    def fit(self, X: ArrayLike, y: Any = None, groups: Any = None) -> Self:
        """Choose the subspace for X (n, hidden); labels and groups are not used.

        Raises:
            BertologyError: a share that is not between 0 and 1.
        """
        features = validate_data(self, as_array(X), dtype=np.float64)
        if not 0 <= self.share <= 1:
            raise BertologyError(f"share is {self.share!r}; give a number from 0 to 1.")
        centred = features - features.mean(axis=0)
        covariance = centred.T @ centred / len(centred)
        basis = _random_basis(features.shape[1], self.seed)
        held = np.cumsum(np.einsum("ij,ij->j", basis, covariance @ basis))
        target = self.share * held[-1]
        # A share of 1 is all directions, though sums in another order differ in the last bits.
        whole = int(np.searchsorted(held, target * (1 + 1e-12), side="right"))
        rest = target - (held[whole - 1] if whole else 0.0)
        last = _direction_with(rest, covariance, basis[:, whole:])
        self._keep(np.hstack([basis[:, :whole], last]), _mean(features, self.affine))
        return self


class ShuffledLabels(Eraser):
    """Another eraser, fitted on the same labels in random order.

    Args:
        eraser: of INLP give the number of `rounds`: from shuffled labels there is nothing to
            learn, so it would stop at once.
    """

    def __init__(self, eraser: Eraser, seed: int = 0) -> None:
        self.eraser = eraser
        self.seed = seed

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Shuffle the labels and fit the eraser; arguments are those of the eraser."""
        shuffled = np.random.default_rng(self.seed).permutation(np.asarray(as_array(y)))
        self.eraser_ = clone(self.eraser).fit(X, shuffled, groups)
        self.n_features_in_ = self.eraser_.n_features_in_
        self.projection_, self.mean_ = self.eraser_.projection_, self.eraser_.mean_
        self.rank_ = self.eraser_.rank_
        return self


def _direction_with(variance: float, covariance: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """One direction (hidden, 1) of a subspace that holds the variance, or none (hidden, 0).

    Args:
        variance: at most that of the first column of the basis.
        basis: (hidden, n), orthonormal columns.
    """
    none = np.empty((len(basis), 0))
    if not basis.shape[1] or variance <= 0:
        return none
    least, first = eigh(basis.T @ covariance @ basis, subset_by_index=[0, 0])
    low = basis @ first[:, 0]
    if variance <= least[0]:
        # No direction holds so little: the nearer of two.
        return low[:, None] if least[0] - variance < variance else none
    high = basis[:, 0] - low * (low @ basis[:, 0])
    high /= np.linalg.norm(high)
    # The two do not covary, so variance grows evenly with the square of the sine.
    sine = np.sqrt((variance - least[0]) / (high @ covariance @ high - least[0]))
    return np.asarray((np.sqrt(max(0.0, 1 - sine**2)) * low + sine * high)[:, None])


def _random_basis(width: int, seed: int) -> np.ndarray:
    if width == 1:
        return np.eye(1)
    return np.asarray(ortho_group.rvs(width, random_state=np.random.default_rng(seed)))


def _mean(features: np.ndarray, affine: bool) -> np.ndarray:
    mean = features.mean(axis=0)
    return mean if affine else np.zeros_like(mean)
