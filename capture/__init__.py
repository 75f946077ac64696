"""Attention, head outputs and hidden states of the user's own module, proven exact."""

from .batch import Batch, collate
from .hidden import hidden_states
from .interventions import gate_heads, replace_attention, uniform_attention
from .mode import eval_mode
from .session import Event, Hook, hooked
from .sites import Site, find_sites
from .stream import stream
from .texts import Captured, capture
from .verify import SiteReport, verify

__all__ = [
    "Batch",
    "Captured",
    "Event",
    "Hook",
    "Site",
    "SiteReport",
    "capture",
    "collate",
    "eval_mode",
    "find_sites",
    "gate_heads",
    "hidden_states",
    "hooked",
    "replace_attention",
    "stream",
    "uniform_attention",
    "verify",
]
