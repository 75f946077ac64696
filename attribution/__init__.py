"""Which words a model's behaviour rests on, and whether attention says the same."""

from ..errors import AttributionError
from .agreement import agreement
from .explain import Explanation, explain
from .faithfulness import faithfulness
from .from_attention.raw import AttentionScores, attention_scores, rollout
from .methods.gradients import input_x_gradient
from .methods.integrated import Completeness, completeness, integrated_gradients
from .methods.occlusion import leave_one_out, leave_one_token_out
from .scored import Scored, score_examples
from .scores import Scores, score_all
from .targets import Goal, Prepared, measure, prepare, probability
from .verdict import (
    Claim,
    Declaration,
    HeadMaps,
    Scrambled,
    Searched,
    Verdict,
    head_maps,
    judge,
    scrambled,
    searched,
)

__all__ = [
    "AttentionScores",
    "AttributionError",
    "Claim",
    "Completeness",
    "Declaration",
    "Explanation",
    "Goal",
    "HeadMaps",
    "Prepared",
    "Scored",
    "Scores",
    "Scrambled",
    "Searched",
    "Verdict",
    "agreement",
    "attention_scores",
    "completeness",
    "explain",
    "faithfulness",
    "head_maps",
    "input_x_gradient",
    "integrated_gradients",
    "judge",
    "leave_one_out",
    "leave_one_token_out",
    "measure",
    "prepare",
    "probability",
    "rollout",
    "score_all",
    "score_examples",
    "scrambled",
    "searched",
]
