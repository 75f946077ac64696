"""Rank agreement of many scores at once."""

import numpy as np


def kendall_tau_b(scores: np.ndarray, against: np.ndarray) -> np.ndarray:
    """Kendall's τ-b of every row of `scores` with every row of `against`.

    Equal to `scipy.stats.kendalltau` cell by cell, but all heads of a sentence at once.

    Args:
        scores: (score, item).
        against: (other, item).

    Returns:
        (score, other); NaN where a row is constant.
    """
    first, second = _pair_signs(scores), _pair_signs(against)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Without ties a row has as many non-zero signs as there are pairs.
        size = np.sqrt(np.outer(np.abs(first).sum(1), np.abs(second).sum(1)))
        return np.where(size > 0, first @ second.T / size, np.nan)


def _pair_signs(rows: np.ndarray) -> np.ndarray:
    """The sign of the difference of each pair of items: (row, pair)."""
    i, j = np.triu_indices(rows.shape[1], k=1)
    return np.sign(rows[:, i] - rows[:, j]).astype(float)
