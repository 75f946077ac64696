"""Attention, head outputs and hidden states of the user's own module, proven exact."""

from .batch import Batch, collate
from .captured import Captured, Part
from .finite import refuse_infinite
from .generation import Generated, capture_generation
from .guards import refuse_other_positions
from .hidden import hidden_states, patch_hidden
from .hooked import hooked
from .interventions import (
    explicit_attention,
    gate_heads,
    patch_heads,
    permute_attention,
    replace_attention,
    resample_heads,
    uniform_attention,
)
from .mode import eval_mode
from .passes import Pass, run_pass
from .record import Recording, SiteRecord, record
from .session import Event, Hook
from .shards import Shards
from .sites import Site, find_sites
from .store import ActivationStore, open_store, write_store
from .stream import stream
from .tasks import Task
from .texts import capture
from .verify import SiteReport, verify
from .ways.declare import declare

__all__ = [
    "ActivationStore",
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
    "explicit_attention",
    "find_sites",
    "gate_heads",
    "hidden_states",
    "hooked",
    "open_store",
    "patch_heads",
    "patch_hidden",
    "permute_attention",
    "record",
    "refuse_infinite",
    "refuse_other_positions",
    "replace_attention",
    "resample_heads",
    "run_pass",
    "stream",
    "uniform_attention",
    "verify",
    "write_store",
]
