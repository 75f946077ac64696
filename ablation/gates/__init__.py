"""Gates on heads that are learned: which heads a model can do without, all at once."""

from .analysis import LearnedGates, learn_gates
from .concrete import deterministic_gate, open_probability, sample_gates
from .roles import kept_by_role, named_roles, surviving_heads

__all__ = [
    "LearnedGates",
    "deterministic_gate",
    "kept_by_role",
    "learn_gates",
    "named_roles",
    "open_probability",
    "sample_gates",
    "surviving_heads",
]
