"""What can be read off hidden states: linear probes with control tasks and baselines."""

from .analysis import Probes, probe
from .baselines import ControlTask, TypeLookup
from .features import WordStates, word_states
from .linear import LinearProbe
from .split import split_documents
from .word_tasks import TASKS, Task

__all__ = [
    "TASKS",
    "ControlTask",
    "LinearProbe",
    "Probes",
    "Task",
    "TypeLookup",
    "WordStates",
    "probe",
    "split_documents",
    "word_states",
]
