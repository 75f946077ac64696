"""An eraser with its controls: what it is compared with at one hidden state."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .controls import RandomRank, RandomVariance, ShuffledLabels
from .eraser import Eraser, removed_variance
from .inlp import INLP
from .leace import LEACE

#: The erasers of a concept, then those that do not know it.
ERASERS = ("inlp", "leace")
CONTROLS = ("random_rank", "random_variance", "shuffled_labels")


@dataclass(frozen=True)
class Fitted:
    """One kind of eraser at one hidden state, in one or several draws."""

    name: str
    matched_to: str
    """The eraser whose rank or removed variance a control takes over; itself, of one."""
    draws: tuple[Eraser, ...]
    removed_variance: float
    """Share of the variance of the training data, mean over draws."""

    @property
    def rank(self) -> float:
        return float(np.mean([eraser.rank_ for eraser in self.draws]))


def fit_family(
    name: str,
    X: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray,
    *,
    affine: bool,
    seeds: Sequence[int],
) -> list[Fitted]:
    """Fit one of `ERASERS` and its controls, the eraser first.

    Args:
        X: training states, (n, hidden).
        affine: whether INLP and its random subspaces keep the mean.
        seeds: of the eraser, then of each draw.
    """
    concept: INLP | LEACE
    if name == "inlp":
        concept = INLP(affine=affine, seed=seeds[0]).fit(X, y, groups)
        again: Eraser = INLP(concept.rank_, affine, seeds[0])
    else:
        affine = True
        concept = LEACE().fit(X, y)
        again = LEACE()
    share = max(0.0, removed_variance(concept, X))
    kinds: dict[str, Callable[[int], Eraser]] = {
        "random_rank": lambda seed: RandomRank(concept.rank_, affine, seed),
        "random_variance": lambda seed: RandomVariance(share, affine, seed),
        "shuffled_labels": lambda seed: ShuffledLabels(again, seed),
    }
    found = [_fitted(name, name, [concept], X)]
    for control, make in kinds.items():
        fitted = [make(seed).fit(X, y, groups) for seed in seeds[1:]]
        found.append(_fitted(control, name, fitted, X))
    return found


def _fitted(name: str, matched_to: str, draws: Sequence[Eraser], X: np.ndarray) -> Fitted:
    removed = float(np.mean([removed_variance(eraser, X) for eraser in draws]))
    return Fitted(name, matched_to, tuple(draws), removed)
