"""Loading models: by hub id, by folder, or the demo encoder."""

from .load import TASKS, LoadedModel, first_position, load_model
from .provenance import provenance

__all__ = ["TASKS", "LoadedModel", "first_position", "load_model", "provenance"]
