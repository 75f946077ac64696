"""Attention, head outputs and hidden states of the user's own module, proven exact."""

from .batch import Batch, collate
from .finite import refuse_infinite
from .hidden import hidden_states
from .hooked import hooked
from .interventions import gate_heads, replace_attention, uniform_attention
from .mode import eval_mode
from .session import Event, Hook
from .sites import Site, find_sites
from .stream import stream
from .texts import Captured, capture
from .verify import SiteReport, verify
from .ways.declare import declare

__all__ = [
    "Batch",
    "Captured",
    "Event",
    "Hook",
    "Site",
    "SiteReport",
    "capture",
    "collate",
    "declare",
    "eval_mode",
    "find_sites",
    "gate_heads",
    "hidden_states",
    "hooked",
    "refuse_infinite",
    "replace_attention",
    "stream",
    "uniform_attention",
    "verify",
]
