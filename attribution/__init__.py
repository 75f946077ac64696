"""Which words a model's behaviour rests on, and whether attention says the same."""

from .errors import AttributionError
from .targets import Goal, Prepared, measure, prepare, probability

__all__ = [
    "AttributionError",
    "Goal",
    "Prepared",
    "measure",
    "prepare",
    "probability",
]
