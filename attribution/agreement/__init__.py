"""Agreement of rankings over a corpus, with floors, nulls and references."""

from .compared import MIN_ITEMS, Compared, compare
from .statistics import DEFAULT, STATISTICS, TOPS, Statistic
from .table import agreement

__all__ = [
    "DEFAULT",
    "MIN_ITEMS",
    "STATISTICS",
    "TOPS",
    "Compared",
    "Statistic",
    "agreement",
    "compare",
]
