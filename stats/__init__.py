"""Intervals, paired tests, correction for many looks, rank agreement."""

from .intervals import (
    DRAWS,
    MIN_COUNTS,
    MIN_UNITS,
    bootstrap_of,
    bootstrap_ratio,
    is_descriptive,
    wilson,
)
from .rank import kendall_tau_b, rank_biased_overlap, spearman, top_k_overlap
from .testing import benjamini_hochberg, exchange_max_t, holm, max_t, sign_flip

__all__ = [
    "DRAWS",
    "MIN_COUNTS",
    "MIN_UNITS",
    "benjamini_hochberg",
    "bootstrap_of",
    "bootstrap_ratio",
    "exchange_max_t",
    "holm",
    "is_descriptive",
    "kendall_tau_b",
    "max_t",
    "rank_biased_overlap",
    "sign_flip",
    "spearman",
    "top_k_overlap",
    "wilson",
]
