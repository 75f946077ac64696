"""Other attention on the same text: does the output care?"""

from .comparison import Apart, compare_models, seed_variance
from .consistent import consistent_adversaries, train_adversary
from .effective import effective_attention, ineffective_shares
from .removal import decision_flips, hide_keys, removal_shares
from .scrambling import Changes, scramble
from .search import Alternatives, search_alternatives
from .table import changes_by_text, counterfactual_table, epsilon_table

__all__ = [
    "Alternatives",
    "Apart",
    "Changes",
    "changes_by_text",
    "compare_models",
    "consistent_adversaries",
    "counterfactual_table",
    "decision_flips",
    "effective_attention",
    "epsilon_table",
    "hide_keys",
    "ineffective_shares",
    "removal_shares",
    "scramble",
    "search_alternatives",
    "seed_variance",
    "train_adversary",
]
