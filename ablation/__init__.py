"""What breaks when a head is gone."""

from .importance import Importance, head_importance, importance
from .knockout import mean_head_outputs
from .sweep import Ablation, ablate

__all__ = [
    "Ablation",
    "Importance",
    "ablate",
    "head_importance",
    "importance",
    "mean_head_outputs",
]
