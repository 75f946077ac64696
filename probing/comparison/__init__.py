"""Two models compared, or several seeds of one: heads, and hidden states."""

from .analysis import Comparison, compare_models
from .seeds import SeedComparison, compare_seeds
from .similarity import linear_cka, rsa

__all__ = [
    "Comparison",
    "SeedComparison",
    "compare_models",
    "compare_seeds",
    "linear_cka",
    "rsa",
]
