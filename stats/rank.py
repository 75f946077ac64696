"""Rank agreement of many scores at once: all heads of a sentence in one call."""

import numpy as np
from scipy.stats import rankdata

#: Persistence of rank-biased overlap: the weight of a rank is 0.9 of the one above it.
PERSISTENCE = 0.9


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


def spearman(scores: np.ndarray, against: np.ndarray) -> np.ndarray:
    """Spearman's ρ of every row of `scores` with every row of `against`: (score, other).

    The Pearson correlation of average ranks, so right under ties; NaN where a row is constant.
    """
    first, second = (_centred(rankdata(rows, axis=1)) for rows in (scores, against))
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.outer(np.linalg.norm(first, axis=1), np.linalg.norm(second, axis=1))
        return np.where(size > 0, first @ second.T / size, np.nan)


def rank_biased_overlap(scores: np.ndarray, against: np.ndarray) -> np.ndarray:
    """Extrapolated rank-biased overlap of every pair of rows: (score, other), from 0 to 1.

    Webber, Moffat and Zobel 2010, equation 23, for two rankings of the same items from the
    highest score down, p = 0.9. Tied items share the ranks they take. Rankings of few items
    agree at the last depth whatever their order, so values are high. NaN where a row is constant.
    """
    items = scores.shape[1]
    depths = np.arange(1, items + 1)
    # (row, depth, item): how much of each item is among the `depth` highest.
    first, second = (_membership(rows, depths) for rows in (scores, against))
    shared = np.einsum("sdi,odi->sod", first, second) / depths
    weights = PERSISTENCE**depths
    overlap = (1 - PERSISTENCE) / PERSISTENCE * (shared @ weights) + shared[..., -1] * weights[-1]
    return np.where(_constant(scores, against), np.nan, overlap)


def top_k_overlap(scores: np.ndarray, against: np.ndarray, *, k: int) -> np.ndarray:
    """Share of the k highest that two rankings have in common: (score, other), from 0 to 1.

    Tied items share the ranks they take. Two random rankings have k/n in common, of n items. NaN
    where a row is constant, or there are no more than k items.
    """
    items = scores.shape[1]
    if items <= k:
        return np.full((len(scores), len(against)), np.nan)
    first, second = (_membership(rows, np.array([k]))[:, 0] for rows in (scores, against))
    return np.where(_constant(scores, against), np.nan, first @ second.T / k)


def _constant(scores: np.ndarray, against: np.ndarray) -> np.ndarray:
    return np.logical_or.outer(np.ptp(scores, axis=1) == 0, np.ptp(against, axis=1) == 0)


def _centred(ranks: np.ndarray) -> np.ndarray:
    return ranks - ranks.mean(axis=1, keepdims=True)


def _membership(rows: np.ndarray, depths: np.ndarray) -> np.ndarray:
    top = rankdata(-rows, method="min", axis=1)[:, None]
    bottom = rankdata(-rows, method="max", axis=1)[:, None]
    return np.clip((depths[:, None] - top + 1) / (bottom - top + 1), 0.0, 1.0)
