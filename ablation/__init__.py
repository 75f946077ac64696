"""What breaks when a head is gone."""

from .curves import PruningCurve, pruning_curve
from .distillation import KeptHeads, kept_heads
from .gates import LearnedGates, kept_by_role, learn_gates, named_roles, surviving_heads
from .held_out import held_out
from .importance import (
    Criterion,
    FirstOrder,
    Importance,
    first_order,
    head_importance,
    importance,
)
from .joined import joined
from .knockout import mean_head_outputs
from .specificity import (
    Behaviour,
    Specificity,
    by_class,
    by_paradigm,
    probing_behaviour,
    specificity,
)
from .structural import Pruning, compare, least_important, prune
from .sweep import Ablation, ablate

__all__ = [
    "Ablation",
    "Behaviour",
    "Criterion",
    "FirstOrder",
    "Importance",
    "KeptHeads",
    "LearnedGates",
    "Pruning",
    "PruningCurve",
    "Specificity",
    "ablate",
    "by_class",
    "by_paradigm",
    "compare",
    "first_order",
    "head_importance",
    "held_out",
    "importance",
    "joined",
    "kept_by_role",
    "kept_heads",
    "learn_gates",
    "least_important",
    "mean_head_outputs",
    "named_roles",
    "probing_behaviour",
    "prune",
    "pruning_curve",
    "specificity",
    "surviving_heads",
]
