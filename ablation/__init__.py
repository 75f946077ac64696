"""What breaks when a head is gone."""

from .curves import PruningCurve, pruning_curve
from .importance import (
    Criterion,
    FirstOrder,
    Importance,
    first_order,
    head_importance,
    importance,
)
from .knockout import mean_head_outputs
from .sweep import Ablation, ablate

__all__ = [
    "Ablation",
    "Criterion",
    "FirstOrder",
    "Importance",
    "PruningCurve",
    "ablate",
    "first_order",
    "head_importance",
    "importance",
    "mean_head_outputs",
    "pruning_curve",
]
