"""What heads look at: statistics of attention, patterns, and the phenomena that heads follow."""

from .analyses import ANALYSES, AnalysisOptions
from .analysis import HeadAnalysis, analyse_heads
from .best import best_heads
from .by_query import by_query_table
from .clusters import HeadClusters, cluster_heads
from .coreference import best_coreference_heads, coreference_baselines, coreference_table
from .decoder import DecoderHeads, decoder_heads
from .distances import head_distances
from .examples import hits_and_misses, sample_predictions
from .features import feature_table
from .importance import gradient_table
from .options import ScanOptions
from .patterns import Thresholds, head_patterns, pattern_table
from .published import beside_published, is_bert_base, published_relations
from .relations import Dependents, gold_dependents, predict_heads, relation_table
from .roles import head_roles
from .rows import STATISTICS, RowSums, TokenFeatures, block_size, reduce_attention
from .scan import HeadScan, scan_heads
from .semantic import semantic_table
from .statistics import statistics_table
from .words import WordMaps, attention_between_words

__all__ = [
    "ANALYSES",
    "STATISTICS",
    "AnalysisOptions",
    "DecoderHeads",
    "Dependents",
    "HeadAnalysis",
    "HeadClusters",
    "HeadScan",
    "RowSums",
    "ScanOptions",
    "Thresholds",
    "TokenFeatures",
    "WordMaps",
    "analyse_heads",
    "attention_between_words",
    "beside_published",
    "best_coreference_heads",
    "best_heads",
    "block_size",
    "by_query_table",
    "cluster_heads",
    "coreference_baselines",
    "coreference_table",
    "decoder_heads",
    "feature_table",
    "gold_dependents",
    "gradient_table",
    "head_distances",
    "head_patterns",
    "head_roles",
    "hits_and_misses",
    "is_bert_base",
    "pattern_table",
    "predict_heads",
    "published_relations",
    "reduce_attention",
    "relation_table",
    "sample_predictions",
    "scan_heads",
    "semantic_table",
    "statistics_table",
]
