"""Attention by the kind of token that pays it: [CLS] rows, [SEP] rows and all others."""

from collections.abc import Sequence

import numpy as np

from ...corpora import Encoding
from .rows import OF_PICKED_ROWS, OTHER, PICKED_ROWS, STATISTICS

#: Kinds of query rows (Clark et al. 2019, sections 3.2 and 3.3).
QUERIES = (*PICKED_ROWS, "other")
#: What is averaged over the rows of each kind.
BY_QUERY = OF_PICKED_ROWS


def row_counts(encodings: Sequence[Encoding]) -> np.ndarray:
    """How many rows of each kind each text has: (text, kind)."""
    return np.array(
        [(e.cls.sum(), e.sep.sum(), len(e) - e.cls.sum() - e.sep.sum()) for e in encodings]
    )


def query_means(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Means over the rows of each kind: (text, …, kind, statistic).

    NaN where a text has no row of a kind. What all other rows pay is the rest of the sums over
    every row.

    Args:
        sums: (text, …, statistic), from `reduce_attention`.
        counts: (text, kind), from `row_counts`.
    """
    everywhere = sums[..., [STATISTICS.index(name) for name in BY_QUERY]]
    picked = sums[..., len((*STATISTICS, OTHER)) :]
    picked = picked.reshape(*picked.shape[:-1], len(PICKED_ROWS), len(BY_QUERY))
    rest = everywhere - picked.sum(-2)
    kinds = np.concatenate([picked, rest[..., None, :]], axis=-2)
    rows = counts.reshape(len(counts), *[1] * (kinds.ndim - 3), len(QUERIES), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(rows > 0, kinds / rows, np.nan)
