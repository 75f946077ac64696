"""Minimal pairs: does the model prefer the acceptable sentence?"""

from .analysis import Preferences, minimal_pairs
from .scoring import SentenceScores, sentence_log_probabilities

__all__ = [
    "Preferences",
    "SentenceScores",
    "minimal_pairs",
    "sentence_log_probabilities",
]
