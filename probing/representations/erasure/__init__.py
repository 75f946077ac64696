"""Use, not just presence: what a model loses when a property is erased from its states."""

from .analysis import Erasure, erase_and_measure
from .controls import RandomRank, RandomVariance, ShuffledLabels
from .eraser import Eraser, removed_variance
from .forward import erased
from .inlp import INLP
from .leace import LEACE

__all__ = [
    "INLP",
    "LEACE",
    "Eraser",
    "Erasure",
    "RandomRank",
    "RandomVariance",
    "ShuffledLabels",
    "erase_and_measure",
    "erased",
    "removed_variance",
]
