"""Scores of tokens read from attention: raw, rolled out, by norm, decomposed."""

from .alti import alti, alti_maps
from .decompx import Decomposition, decompositions, decompx
from .flow import FLOW_TOKENS, attention_flow, flow
from .gradients import (
    GradientMaps,
    attention_x_gradient,
    gradient_maps,
    relevancy,
    relevancy_map,
)
from .joining import Joined
from .norms import NormMaps, attention_norms, norm_maps
from .raw import AttentionScores, attention_scores, rollout
from .registry import FROM_ATTENTION, FromAttention
from .residual import Mixing, ResidualMaps, attention_norms_residual, globenc, residual_maps
from .value_zeroing import value_zeroing, value_zeroing_maps

__all__ = [
    "FLOW_TOKENS",
    "FROM_ATTENTION",
    "AttentionScores",
    "Decomposition",
    "FromAttention",
    "GradientMaps",
    "Joined",
    "Mixing",
    "NormMaps",
    "ResidualMaps",
    "alti",
    "alti_maps",
    "attention_flow",
    "attention_norms",
    "attention_norms_residual",
    "attention_scores",
    "attention_x_gradient",
    "decompositions",
    "decompx",
    "flow",
    "globenc",
    "gradient_maps",
    "norm_maps",
    "relevancy",
    "relevancy_map",
    "residual_maps",
    "rollout",
    "value_zeroing",
    "value_zeroing_maps",
]
