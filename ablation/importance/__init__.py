"""How much each head matters: by gradients, relevance, attention and weights."""

from .analysis import Importance, importance, normalised
from .gradients import gate_gradients, head_importance, signed_gradients
from .loss import LossGoal, losses
from .methods import AGAINST, METHODS, Method

__all__ = [
    "AGAINST",
    "METHODS",
    "Importance",
    "LossGoal",
    "Method",
    "gate_gradients",
    "head_importance",
    "importance",
    "losses",
    "normalised",
    "signed_gradients",
]
