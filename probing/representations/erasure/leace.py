"""Least-squares concept erasure."""

from importlib import import_module
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from ....errors import BertologyError
from ..estimators.training import as_array
from .eraser import Eraser

#: Correlations of whitened states with a label below this are taken for rounding. The library's
#: .01 leaves the traces of rare labels, and with them a covariance that is not zero.
SVD_TOLERANCE = 1e-6
#: A feature that varies by less than this share of its mean is constant: single precision.
_CONSTANT = float(np.finfo(np.float32).eps)


class LEACE(Eraser):
    """The smallest affine change after which no linear classifier tells the labels apart.

    r(x) = x − W⁺ P_{W Σ_xz} W (x − μ), with W the whitening of x and z the one-hot labels
    (Belrose et al. 2023, theorem 4.3), from the library concept-erasure, in double precision:
    the covariance of r(x) and z on the training data is zero. Features are standardised before,
    so that those of very small size are erased as exactly; unless the covariance is shrunk this
    changes nothing, for r is the smallest change in every norm. At most labels − 1 dimensions are
    lost. P is oblique: P² = P, but not P = Pᵀ.

    Args:
        shrinkage: shrink the covariance matrix of the standardised x, with the library's method.
        svd_tol: singular values below it are dropped; the library's own is .01.
    """

    def __init__(self, shrinkage: bool = True, svd_tol: float = SVD_TOLERANCE) -> None:
        self.shrinkage = shrinkage
        self.svd_tol = svd_tol

    def fit(self, X: ArrayLike, y: ArrayLike, groups: Any = None) -> Self:
        """Find the projection.

        Args:
            X: hidden states, (n, hidden).
            y: labels, (n,).
            groups: not needed; for the sake of one signature.

        Raises:
            BertologyError: fewer than two labels, or the library is not installed.
        """
        library = concept_erasure()
        features, labels = validate_data(
            self, as_array(X), as_array(y), dtype=np.float64, ensure_min_samples=2
        )
        check_classification_targets(labels)
        names = np.unique(labels)
        if len(names) < 2:
            raise BertologyError(
                f"All {len(labels)} labels are {str(names[0])!r}; nothing can be erased. Give two "
                "labels or more."
            )
        self.mean_ = features.mean(axis=0)
        spread = features.std(axis=0)
        constant = spread <= _CONSTANT * np.abs(self.mean_)
        spread[constant] = 1
        fitter = library.LeaceFitter.fit(
            torch.from_numpy((features - self.mean_) / spread),
            torch.from_numpy((labels[:, None] == names).astype(float)),
            shrinkage=self.shrinkage, svd_tol=self.svd_tol,
        )  # fmt: skip
        self.projection_ = spread[:, None] * fitter.eraser.P.numpy() / spread
        # Rounding would be all that varies there.
        self.projection_[constant] = np.eye(len(constant))[constant]
        self.projection_[:, constant] = np.eye(len(constant))[:, constant]
        # Of an oblique projection, too, the trace is the rank.
        self.rank_ = round(len(self.mean_) - float(np.trace(self.projection_)))
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


def concept_erasure() -> Any:
    """The library, which is an extra.

    Raises:
        BertologyError: it is not installed.
    """
    try:
        return import_module("concept_erasure")
    except ImportError as error:
        raise BertologyError(
            "LEACE needs the library concept-erasure, which is not installed; install it with: "
            "pip install 'bertology[erasure]'"
        ) from error
