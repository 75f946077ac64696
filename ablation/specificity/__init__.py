"""Which behaviours a part of a model is for."""
