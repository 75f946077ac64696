"""What a probe is measured against: lookups, control labels, words out of order."""

from .control_task import ControlTask
from .lookup import TypeLookup
from .order import shuffled_states

__all__ = ["ControlTask", "TypeLookup", "shuffled_states"]
