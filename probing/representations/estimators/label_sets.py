"""Label sets: labels and weights as the solver takes them, and what is held out of them."""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection import GroupShuffleSplit
from sklearn.utils.multiclass import check_classification_targets

from .objective import LabelSet

#: Share of the training groups that the strength of the penalty is chosen on.
HELD_OUT = 0.2


def coded(labels: np.ndarray, weights: np.ndarray | None) -> tuple[LabelSet, np.ndarray]:
    """The label set of the rows of positive weight, and its classes; other rows have code 0."""
    check_classification_targets(labels)
    if weights is None:
        classes, codes = np.unique(labels, return_inverse=True)
        return LabelSet(codes, len(classes)), classes
    used = weights > 0
    classes, of_used = np.unique(labels[used], return_inverse=True)
    codes = np.zeros(len(labels), dtype=of_used.dtype)
    codes[used] = of_used
    return LabelSet(codes, len(classes), weights), classes


def weights_of(label_set: LabelSet) -> np.ndarray:
    return np.ones(len(label_set.codes)) if label_set.weights is None else label_set.weights


def rows_of(label_set: LabelSet, used: np.ndarray) -> LabelSet:
    weights = None if label_set.weights is None else label_set.weights[used]
    return LabelSet(label_set.codes[used], label_set.classes, weights)


def _mask(rows: np.ndarray, like: np.ndarray) -> np.ndarray:
    mask = np.zeros(len(like), dtype=bool)
    mask[rows] = True
    return mask


def checked_weights(values: ArrayLike | None, count: int) -> np.ndarray | None:
    if values is None:
        return None
    weights = checked_column(values, count, "sample weights").astype(np.float64)
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise ValueError("Sample weights must be finite, at least 0 and not all zero.")
    return weights


def checked_column(values: ArrayLike, count: int, what: str) -> np.ndarray:
    column = np.asarray(values)
    if column.shape != (count,):
        raise ValueError(
            f"The features have {count} rows, but the {what} have the shape {column.shape}; give "
            "one for each row."
        )
    return column


def held_out(label_set: LabelSet, units: np.ndarray, seed: int) -> tuple[LabelSet, LabelSet] | None:
    """The rows to fit and those to choose on; None where there is nothing to choose on."""
    weights = weights_of(label_set)
    rows = weights.nonzero()[0]
    if len(np.unique(units[rows])) < 2:
        return None
    split = GroupShuffleSplit(n_splits=1, test_size=HELD_OUT, random_state=seed)
    fitted, held = (rows[part] for part in next(split.split(rows, groups=units[rows])))
    classes = np.unique(label_set.codes[fitted])
    if len(classes) < 2:
        return None
    # Classes that are only held out are -1: the fitted ones are numbered anew.
    renumbered = np.full(label_set.classes, -1)
    renumbered[classes] = np.arange(len(classes))
    codes = renumbered[label_set.codes]
    return (
        LabelSet(np.maximum(codes, 0), len(classes), np.where(_mask(fitted, codes), weights, 0)),
        LabelSet(codes, len(classes), np.where(_mask(held, codes), weights, 0)),
    )
