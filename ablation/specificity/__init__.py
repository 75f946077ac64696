"""Which behaviours a part of a model is for: does it hurt one more than the others?"""

from .analysis import Specificity, specificity
from .behaviours import Behaviour, by_class, by_paradigm
from .probed import probing_behaviour

__all__ = [
    "Behaviour",
    "Specificity",
    "by_class",
    "by_paradigm",
    "probing_behaviour",
    "specificity",
]
