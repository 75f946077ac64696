"""What can be read off hidden states: tasks, probes, controls and the sweep over all of them.

The subpackages hold more: `estimators` the probes, `controls` what they are measured against,
`measures` description length, usable information and learning curves, `erasure` what a model
loses without a property, `minimal_pairs` what it prefers.
"""

from .checks import check_features, check_items
from .controls import ControlTask, TypeLookup, shuffled_states
from .estimators.bilinear import BilinearProbe
from .estimators.edge import EdgeProbe
from .estimators.linear import LinearProbe
from .estimators.mix import ScalarMixProbe
from .estimators.mlp import MLPProbe
from .estimators.structural import DepthProbe, DistanceProbe
from .items import Items, items_of, padded, pooled
from .splits import split_documents, split_sentences, split_types
from .states import States, states_of_model, states_of_store
from .sweep.analysis import Probes, probe
from .sweep.options import ProbeOptions
from .tasks import TASKS, Item, Task, sentence_task, word_task

__all__ = [
    "TASKS",
    "BilinearProbe",
    "ControlTask",
    "DepthProbe",
    "DistanceProbe",
    "EdgeProbe",
    "Item",
    "Items",
    "LinearProbe",
    "MLPProbe",
    "ProbeOptions",
    "Probes",
    "ScalarMixProbe",
    "States",
    "Task",
    "TypeLookup",
    "check_features",
    "check_items",
    "items_of",
    "padded",
    "pooled",
    "probe",
    "sentence_task",
    "shuffled_states",
    "split_documents",
    "split_sentences",
    "split_types",
    "states_of_model",
    "states_of_store",
    "word_task",
]
