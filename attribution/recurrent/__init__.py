"""The setting of the attention debate: one recurrent layer with attention over it.

Jain and Wallace 2019, Wiegreffe and Pinter 2019, Serrano and Smith 2019, on one's own data.
"""

from .adversary import train_adversary
from .correlation import correlation
from .debate import Debate, attention_debate
from .instances import Instance, read_instances
from .network import ATTENTIONS, ENCODERS, AttentionClassifier
from .permutation import permutation
from .removal import decision_flips, removal_shares
from .search import adversarial_search, epsilon_curve
from .training import TrainedClassifier, train_classifier
from .vocabulary import Vocabulary

__all__ = [
    "ATTENTIONS",
    "ENCODERS",
    "AttentionClassifier",
    "Debate",
    "Instance",
    "TrainedClassifier",
    "Vocabulary",
    "adversarial_search",
    "attention_debate",
    "correlation",
    "decision_flips",
    "epsilon_curve",
    "permutation",
    "read_instances",
    "removal_shares",
    "train_adversary",
    "train_classifier",
]
