"""Loading models: by hub id, by folder, or the demo encoder."""

from .load import TASKS, LoadedModel, load_model
from .provenance import provenance

__all__ = ["TASKS", "LoadedModel", "load_model", "provenance"]
