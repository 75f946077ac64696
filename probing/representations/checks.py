"""What a probe cannot be trained or scored on, said before training starts."""

import warnings
from collections import Counter

import numpy as np

from ...errors import CaptureError, CorpusError
from .items import Items

#: Labels that a message names.
_NAMED = 10


def check_items(train: Items, evaluate: Items) -> None:
    """Refuse items that no probe can learn from, or be scored on.

    Items whose label does not occur in training stay, and count as errors: a warning names them.

    Raises:
        CorpusError: training has one class, or fewer than two items a class (one to learn from,
            and one to choose the regularisation on); evaluation has no item, or none whose label
            occurs in training.
    """
    classes = np.unique(train.labels)
    if len(classes) < 2:
        raise CorpusError(
            f"The training part has {len(classes)} class for the task {train.task!r} on "
            f"{len(train)} items ({', '.join(map(repr, classes))}); at least 2 are needed. Give "
            "more sentences, or others."
        )
    if len(train) < 2 * len(classes):
        raise CorpusError(
            f"The training part has {len(train)} items for the {len(classes)} classes of the task "
            f"{train.task!r}; at least two items a class ({2 * len(classes)}) are needed. Give "
            "more sentences, or a task with fewer classes."
        )
    if len(evaluate) == 0:
        raise CorpusError(f"The evaluation part has no item of the task {train.task!r}.")
    unseen = Counter(evaluate.labels[~np.isin(evaluate.labels, classes)].tolist())
    if not unseen:
        return
    problem = (
        f"{unseen.total()} of {len(evaluate)} evaluation items of the task {train.task!r} have a "
        f"label that training has not: {_listed(unseen)}"
    )
    if unseen.total() == len(evaluate):
        raise CorpusError(
            f"{problem}; training has {_listed(Counter(train.labels.tolist()))}. Give parts that "
            "are annotated alike."
        )
    warnings.warn(
        f"{problem}. They count as errors; give more training sentences to have them learned.",
        stacklevel=2,
    )


def check_features(features: np.ndarray, layer: int) -> None:
    """Refuse features that are no numbers, or that tell no item from another.

    A feature that is constant over the items (all zero, say) is allowed while others vary: it
    gets no weight.

    Args:
        features: (item, feature) of the training part.

    Raises:
        CaptureError: NaN or infinite features, or all of them constant.
    """
    wrong = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(wrong):
        raise CaptureError(
            f"Layer {layer} has features that are NaN or infinite for {len(wrong)} of "
            f"{len(features)} items, the first being item {wrong[0]}; load the model with "
            "dtype=torch.float32, or leave these items out."
        )
    if (features == features[:1]).all():
        raise CaptureError(
            f"Layer {layer} has the same features for all {len(features)} items, so nothing can be "
            "read off it; look whether the weights of the model were loaded."
        )


def _listed(labels: Counter[str]) -> str:
    named = ", ".join(f"{label!r} ({count})" for label, count in labels.most_common(_NAMED))
    return named if len(labels) <= _NAMED else f"{named} and {len(labels) - _NAMED} more"
