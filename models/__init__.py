"""Loading models: by hub id, folder or GGUF file, with adapters, or the demo encoder."""

from .devices import input_device
from .finetuning import FineTuned, fine_tune
from .load import load_model
from .loaded import LoadedModel
from .positions import first_position, max_positions
from .provenance import provenance
from .pruned_files import export_pruned, save_pruned
from .randomised import randomised
from .tasks import TASKS

__all__ = [
    "TASKS",
    "FineTuned",
    "LoadedModel",
    "export_pruned",
    "fine_tune",
    "first_position",
    "input_device",
    "load_model",
    "max_positions",
    "provenance",
    "randomised",
    "save_pruned",
]
