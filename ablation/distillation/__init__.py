"""Which heads of a teacher its student kept: heads that look alike, and are needed alike."""

from .analysis import KeptHeads, kept_heads

__all__ = ["KeptHeads", "kept_heads"]
