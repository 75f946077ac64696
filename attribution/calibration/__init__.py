"""Models whose evidence is known: which methods find it."""

from .carriers import TRAPS, Trap, altered, planted
from .handmade import Handmade, one_head_carries
from .table import admission_table, calibration_table, expected_precision, measure_planted
from .training import Planted, train_planted

__all__ = [
    "TRAPS",
    "Handmade",
    "Planted",
    "Trap",
    "admission_table",
    "altered",
    "calibration_table",
    "expected_precision",
    "measure_planted",
    "one_head_carries",
    "planted",
    "train_planted",
]
