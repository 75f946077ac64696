"""The share of sentences in which a single τ is significant, and why not to compare it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import kendalltau, norm

from ..means import mean_over_units
from ..scores import IMPORTANCE, SCORES, Scores
from .compared import compare

LEVEL = 0.05
WARNING = (
    "The share depends on how long the texts are: tau_needed falls with every item. Never compare "
    "it between data sets or classes of different length; compare it with the floors of the same "
    "texts."
)


def tau_sd(items: np.ndarray | int) -> np.ndarray:
    """Standard deviation of Kendall's τ between independent rankings without ties."""
    n = np.asarray(items, dtype=float)
    return np.sqrt(2 * (2 * n + 5) / (9 * n * (n - 1)))


def tau_needed(items: np.ndarray | int) -> np.ndarray:
    """The |τ| above which a text of so many items has p < 0.05 (two-sided, normal)."""
    return norm.ppf(1 - LEVEL / 2) * tau_sd(items)


def significance_share(
    scores: Sequence[Scores],
    units: Sequence[int],
    *,
    seed: int,
    names: Sequence[str] = SCORES,
    against: Sequence[str] = IMPORTANCE,
    signed: bool = False,
) -> pd.DataFrame:
    """In how many sentences Kendall's τ-b has p ≤ 0.05, uncorrected (Jain & Wallace 2019, 4.1).

    p is that of `scipy.stats.kendalltau`. Mean and population standard deviation of τ stand
    beside it, as in their table 2. Heads are not listed.

    Returns:
        `score,against,layer,head,statistic,mean,ci_low,ci_high,n,descriptive,tau,tau_sd,
        median_items,tau_needed,warning`; `statistic` is `significant_share`, `tau_needed` that of
        the median length. The table of one class is that of its sentences.

    Raises:
        AttributionError: see `compare`.
    """
    compared = compare(
        scores,
        seed=seed,
        names=names,
        against=against,
        statistics=("kendall_tau_b",),
        signed=signed,
        heads=False,
    )
    taus = compared.values[0]
    below = np.full(taus.shape, np.nan)
    for sentence, row, place in np.argwhere(~np.isnan(taus)).tolist():
        pair = [
            scores[sentence].named[name] for name in (compared.names[row], compared.against[place])
        ]
        first, second = pair if signed else np.abs(pair)
        below[sentence, row, place] = kendalltau(first, second).pvalue <= LEVEL
    means = mean_over_units(below, units, seed)
    there = ~np.isnan(taus)
    lengths = np.where(there, compared.items[:, None, None], np.nan)
    medians = np.full(means.n.shape, np.nan)
    medians[means.n > 0] = np.nanmedian(lengths[:, means.n > 0], axis=0)
    mean = np.where(there, taus, 0.0).sum(0) / np.maximum(means.n, 1)
    squares = np.where(there, (taus - mean) ** 2, 0.0).sum(0) / np.maximum(means.n, 1)
    columns = {
        "mean": means.mean,
        "ci_low": means.low,
        "ci_high": means.high,
        "n": means.n,
        "descriptive": means.descriptive,
        "tau": np.where(means.n > 0, mean, np.nan),
        "tau_sd": np.where(means.n > 0, np.sqrt(squares), np.nan),
        "median_items": medians,
        "tau_needed": tau_needed(medians),
    }
    return compared.rows("significant_share", columns).assign(warning=WARNING)
