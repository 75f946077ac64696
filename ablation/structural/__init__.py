"""Smaller models: heads and layers removed for good, what they cost and what they are worth.

model = bertology.load_model("my-classifier")
pruned = prune(model, least_important(importance(model, some).table, keep=0.5))
save_pruned(pruned, "smaller"); compare(model, pruned, others).table
"""

from ...models import export_pruned, save_pruned
from .choosing import kept_count, least_important
from .comparison import Pruning, compare
from .cost import latency
from .pruning import prune

__all__ = [
    "Pruning",
    "compare",
    "export_pruned",
    "kept_count",
    "latency",
    "least_important",
    "prune",
    "save_pruned",
]
