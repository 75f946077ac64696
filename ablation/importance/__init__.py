"""How much each head matters, by gradients, weights, attention and relevance."""

from .analysis import Importance, gate_gradients, head_importance, importance

__all__ = ["Importance", "gate_gradients", "head_importance", "importance"]
