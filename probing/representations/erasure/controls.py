"""Erasers that know nothing of the labels: what any loss of dimensions or variance does."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.stats import ortho_group
from sklearn.base import clone
from sklearn.utils.validation import validate_data

from ....errors import BertologyError
from ..estimators.training import as_array
from .eraser import Eraser

#: A share of the variance that is rounding.
_EXACT = 1e-12


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

    Of random orthogonal directions, as many are taken as come nearest to the share; one direction
    is then turned until the match is exact: if variance is missing, the least of those taken
    towards the greatest of those left, otherwise the greatest of those taken towards the least of
    those left. A share that no subspace holds, such as less than that of any direction, is
    matched as nearly as can be.

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
        held = np.cumsum([0.0, *np.einsum("ij,ij->j", basis, covariance @ basis)])
        missing = self.share * held[-1] - held
        # The nearest number of directions, then the next nearest.
        counts = np.argsort(np.abs(missing), kind="stable")[:2]
        turned = (
            _turned(basis[:, :count], basis[:, count:], missing[count], covariance)
            for count in counts
        )
        nearest = basis[:, : counts[0]]
        removed = next((found for found in turned if found is not None), nearest)
        self._keep(removed, _mean(features, self.affine))
        return self


class ShuffledLabels(Eraser):
    """Another eraser, fitted on the same labels in random order.

    Args:
        eraser: of INLP give the `rank`: from shuffled labels there is nothing to learn, so it
            would stop at once.
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


def _turned(
    taken: np.ndarray, left: np.ndarray, missing: float, covariance: np.ndarray
) -> np.ndarray | None:
    """The subspace with one direction turned so that it holds more by what is missing.

    Args:
        taken, left: (hidden, n), orthonormal columns of a subspace and of its complement.
        missing: variance; negative if the subspace holds too much.

    Returns:
        (hidden, n), or None where no turn of these two directions holds so much.
    """
    if abs(missing) <= _EXACT * np.trace(covariance):
        return taken
    if not taken.shape[1] or not left.shape[1]:
        return None
    more = missing > 0
    own = taken @ np.linalg.eigh(taken.T @ covariance @ taken)[1]
    others = left @ np.linalg.eigh(left.T @ covariance @ left)[1]
    before, after = (own[:, 0], others[:, -1]) if more else (own[:, -1], others[:, 0])

    def gap(angle: float) -> float:
        direction = np.cos(angle) * before + np.sin(angle) * after
        return float(direction @ covariance @ direction - before @ covariance @ before - missing)

    if np.sign(gap(0.0)) == np.sign(gap(np.pi / 2)):
        return None
    angle = brentq(gap, 0.0, np.pi / 2, xtol=1e-15)
    direction = np.cos(angle) * before + np.sin(angle) * after
    return np.column_stack([own[:, 1:] if more else own[:, :-1], direction])


def _random_basis(width: int, seed: int) -> np.ndarray:
    if width == 1:
        return np.eye(1)
    return np.asarray(ortho_group.rvs(width, random_state=np.random.default_rng(seed)))


def _mean(features: np.ndarray, affine: bool) -> np.ndarray:
    mean = features.mean(axis=0)
    return mean if affine else np.zeros_like(mean)
