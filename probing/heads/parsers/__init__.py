"""Dependency parsers that read the attention of all heads (Clark et al. 2019, section 5)."""

from .analysis import Parsers, parse_with_attention
from .features import ParserInput, read_inputs
from .linear import AttentionParser
from .networks import NetworkParser
from .trees import best_candidates, best_tree

__all__ = [
    "AttentionParser",
    "NetworkParser",
    "ParserInput",
    "Parsers",
    "best_candidates",
    "best_tree",
    "parse_with_attention",
    "read_inputs",
]
