"""What a model can do as its heads are removed one after another."""

from .pruning import PruningCurve, pruning_curve

__all__ = ["PruningCurve", "pruning_curve"]
