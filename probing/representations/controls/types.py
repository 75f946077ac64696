"""Types: the forms of an item's words, which lookups and control tasks go by."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ....errors import BertologyError

#: What keeps the spans of a pair apart in its type.
BETWEEN_SPANS = "\t"


def checked_types(X: ArrayLike) -> list[str]:
    """Types of shape (item,) or (item, 1) as a list.

    Raises:
        BertologyError: another shape, or none.
    """
    types = np.asarray(X)
    if types.ndim not in (1, 2) or types.shape[1:] not in ((), (1,)) or not len(types):
        raise BertologyError(
            f"Word forms of shape {types.shape} were given; give at least one, in an array of "
            "shape (n,) or (n, 1)."
        )
    return [str(each) for each in types.ravel()]


def first_span(kind: str) -> str:
    """The form of the first span of a pair; of anything else, the type itself."""
    return kind.partition(BETWEEN_SPANS)[0]


def with_text_input(tags: Any) -> Any:
    """The tags of an estimator that reads types."""
    tags.input_tags.one_d_array = True
    tags.input_tags.two_d_array = False
    tags.input_tags.string = True
    tags.target_tags.required = True
    return tags
