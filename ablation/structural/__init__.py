"""Smaller models: heads and layers removed for good, what they cost and what they are worth."""

from .pruning import prune

__all__ = ["prune"]
