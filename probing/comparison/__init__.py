"""Two models compared, or several seeds of one: heads, and hidden states."""

from .analysis import Comparison, compare_models
from .similarity import linear_cka, rsa

__all__ = ["Comparison", "compare_models", "linear_cka", "rsa"]
