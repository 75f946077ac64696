"""Labels of examples as classes of a classifier, or as numbers."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from ..corpora import Example
from ..errors import CorpusError

UNLABELLED = -1


def classes_of(model: Any, examples: Sequence[Example]) -> np.ndarray:
    """Index of the class that each label names, shape (example,); -1 where there is no label.

    Labels are names of the model's classes in upper or lower case; if not all are, all must be
    indices of classes, from 0. A model without classes (or with one output, a regression) gives
    -1 everywhere.

    Raises:
        CorpusError: a label the model does not have.
    """
    given = {example.label for example in examples if example.label is not None}
    if len(model.labels) < 2:
        return np.full(len(examples), UNLABELLED)
    folded = {name.casefold(): index for index, name in enumerate(model.labels)}
    named = {label: folded[label.casefold()] for label in given if label.casefold() in folded}
    indices = {str(index): index for index in range(len(model.labels))}
    # All by name or all by index: for classes named 1, 2 and 3 a mixture would be guesswork.
    numbers = indices if named.keys() != given and given <= indices.keys() else named
    if unknown := sorted(given - numbers.keys()):
        raise CorpusError(
            f"The examples have the labels {unknown}, which the model {model.name!r} does not "
            f"have; its classes are {list(model.labels)}. Use these names, or the indices 0 to "
            f"{len(model.labels) - 1} for all examples."
        )
    return np.array([numbers.get(e.label or "", UNLABELLED) for e in examples], dtype=np.int64)


def values_of(examples: Sequence[Example]) -> np.ndarray:
    """The label of each example as a number, shape (example,); NaN where there is no label.

    Raises:
        CorpusError: a label that is no finite number.
    """
    values = np.full(len(examples), np.nan)
    for index, example in enumerate(examples):
        if example.label is None:
            continue
        with suppress(ValueError):
            values[index] = float(example.label)
        if not np.isfinite(values[index]):
            raise CorpusError(
                f"The label {example.label!r} of {example.id!r} is no finite number, which the "
                "labels of a regression are; correct it or leave the example out."
            )
    return values
