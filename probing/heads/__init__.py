"""What heads look at: statistics of attention, and the dependency relations heads follow."""

from .analysis import HeadAnalysis, analyse_heads
from .best import best_heads
from .examples import sample_predictions
from .relations import Dependents, gold_dependents, predict_heads, relation_table
from .roles import head_roles
from .rows import STATISTICS, RowSums, TokenFeatures, block_size, reduce_attention
from .scan import HeadScan, scan_heads
from .statistics import statistics_table
from .words import WordMaps, attention_between_words

__all__ = [
    "STATISTICS",
    "Dependents",
    "HeadAnalysis",
    "HeadScan",
    "RowSums",
    "TokenFeatures",
    "WordMaps",
    "analyse_heads",
    "attention_between_words",
    "best_heads",
    "block_size",
    "gold_dependents",
    "head_roles",
    "predict_heads",
    "reduce_attention",
    "relation_table",
    "sample_predictions",
    "scan_heads",
    "statistics_table",
]
