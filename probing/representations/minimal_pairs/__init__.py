"""Minimal pairs: does the model prefer the acceptable sentence, and do its layers know it?"""

from .acceptability import AcceptabilityProbes, acceptability_probes
from .analysis import Preferences, minimal_pairs
from .scoring import SentenceScores, sentence_log_probabilities

__all__ = [
    "AcceptabilityProbes",
    "Preferences",
    "SentenceScores",
    "acceptability_probes",
    "minimal_pairs",
    "sentence_log_probabilities",
]
