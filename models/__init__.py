"""Loading models: by hub id, by folder, or the demo encoder."""

from .load import TASKS, LoadedModel, load_model

__all__ = ["TASKS", "LoadedModel", "load_model"]
