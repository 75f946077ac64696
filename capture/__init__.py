"""Attention, head outputs and hidden states of the user's own module, proven exact."""

from .batch import Batch, collate
from .captured import Captured, Part
from .finite import refuse_infinite
from .generation import Generated, capture_generation
from .hidden import hidden_states
from .hooked import hooked
from .interventions import gate_heads, replace_attention, uniform_attention
from .mode import eval_mode
from .passes import Pass, run_pass
from .record import Recording, SiteRecord, record
from .session import Event, Hook
from .shards import Shards
from .sites import Site, find_sites
from .stream import stream
from .tasks import Task
from .texts import capture
from .verify import SiteReport, verify
from .ways.declare import declare

__all__ = [
    "Batch",
    "Captured",
    "Event",
    "Generated",
    "Hook",
    "Part",
    "Pass",
    "Recording",
    "Shards",
    "Site",
    "SiteRecord",
    "SiteReport",
    "Task",
    "capture",
    "capture_generation",
    "collate",
    "declare",
    "eval_mode",
    "find_sites",
    "gate_heads",
    "hidden_states",
    "hooked",
    "record",
    "refuse_infinite",
    "replace_attention",
    "run_pass",
    "stream",
    "uniform_attention",
    "verify",
]
