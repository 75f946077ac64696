"""How much each head matters: by gradients, relevance, attention and weights."""

from .analysis import Importance, importance, normalised
from .gradients import gate_gradients, head_importance, signed_gradients
from .loss import LossGoal, losses, refuse_lossless
from .methods import AGAINST, METHODS, Method
from .prediction import FirstOrder, first_order
from .question import Criterion, Question, ask

__all__ = [
    "AGAINST",
    "METHODS",
    "Criterion",
    "FirstOrder",
    "Importance",
    "LossGoal",
    "Method",
    "Question",
    "ask",
    "first_order",
    "gate_gradients",
    "head_importance",
    "importance",
    "losses",
    "normalised",
    "refuse_lossless",
    "signed_gradients",
]
