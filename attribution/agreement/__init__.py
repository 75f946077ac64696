"""Agreement of rankings over a corpus, with floors, nulls and references."""

from .compared import MIN_ITEMS, Compared, compare
from .reference import (
    PAIRS,
    agreement_between,
    leave_one_out_versions,
    operators_for,
    seed_versions,
)
from .significance import WARNING, significance_share, tau_needed, tau_sd
from .statistics import DEFAULT, STATISTICS, TOPS, Statistic
from .strata import LENGTHS, agreement_strata
from .table import agreement

__all__ = [
    "DEFAULT",
    "LENGTHS",
    "MIN_ITEMS",
    "PAIRS",
    "STATISTICS",
    "TOPS",
    "WARNING",
    "Compared",
    "Statistic",
    "agreement",
    "agreement_between",
    "agreement_strata",
    "compare",
    "leave_one_out_versions",
    "operators_for",
    "seed_versions",
    "significance_share",
    "tau_needed",
    "tau_sd",
]
