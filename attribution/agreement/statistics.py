"""How two scores of the same items are compared: all scores of a text in one call."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from scipy.special import entr

from ...stats import kendall_tau_b, rank_biased_overlap, spearman, top_k_overlap
from ...stats.rank import PERSISTENCE
from ..divergences import jensen_shannon

#: Of scores (score, item) and others (other, item): (score, other), NaN where it is undefined.
Compare = Callable[[np.ndarray, np.ndarray], np.ndarray]
#: Lengths of the tops that are compared.
TOPS = (1, 3, 5, 10)


@dataclass(frozen=True)
class Statistic:
    """A statistic of two scores of the same items."""

    compare: Compare
    chance: Compare
    """Its mean over all orders that the items of one of the two can be put in."""
    higher_is_closer: bool = True


def _no_agreement(scores: np.ndarray, against: np.ndarray) -> np.ndarray:
    return np.zeros((len(scores), len(against)))


def _chance_of_top(scores: np.ndarray, against: np.ndarray, *, k: int) -> np.ndarray:
    return np.full((len(scores), len(against)), k / scores.shape[1])


def _chance_of_overlap(scores: np.ndarray, against: np.ndarray) -> np.ndarray:
    # Two random rankings of n items have d/n in common at depth d.
    items = scores.shape[1]
    depths = np.arange(1, items + 1)
    weights = PERSISTENCE**depths
    expected = (1 - PERSISTENCE) / PERSISTENCE * (depths / items) @ weights + weights[-1]
    return np.full((len(scores), len(against)), expected)


def divergence(scores: np.ndarray, against: np.ndarray) -> np.ndarray:
    """Jensen–Shannon divergence, in nats (0 to ln 2), of absolute scores divided by their sum.

    Not its square root, which `scipy.spatial.distance.jensenshannon` returns. NaN where a row
    is constant.
    """
    first, second = _distributions(scores), _distributions(against)
    found: np.ndarray = jensen_shannon(first[:, None], second).numpy()
    constant = np.logical_or.outer(np.ptp(scores, axis=1) == 0, np.ptp(against, axis=1) == 0)
    return np.where(constant, np.nan, found)


def _chance_of_divergence(scores: np.ndarray, against: np.ndarray) -> np.ndarray:
    # The divergence is the entropy of the middle minus the mean of the two entropies, and in the
    # middle every item of one meets every item of the other equally often.
    first, second = _distributions(scores).numpy(), _distributions(against).numpy()
    middle = [entr((row[:, None] + second[:, None]) / 2).sum((1, 2)) for row in first]
    own = np.add.outer(entr(first).sum(1), entr(second).sum(1)) / 2
    return np.stack(middle) / scores.shape[1] - own


def _distributions(scores: np.ndarray) -> torch.Tensor:
    sizes = np.abs(scores)
    with np.errstate(invalid="ignore"):
        return torch.from_numpy(sizes / sizes.sum(1, keepdims=True))


STATISTICS: dict[str, Statistic] = {
    "kendall_tau_b": Statistic(kendall_tau_b, _no_agreement),
    "spearman": Statistic(spearman, _no_agreement),
    "rank_biased_overlap": Statistic(rank_biased_overlap, _chance_of_overlap),
    "jensen_shannon": Statistic(divergence, _chance_of_divergence, higher_is_closer=False),
    **{
        f"top_{k}_overlap": Statistic(partial(top_k_overlap, k=k), partial(_chance_of_top, k=k))
        for k in TOPS
    },
}
#: The first is what the report and the verdict read.
DEFAULT = ("kendall_tau_b", "spearman", "rank_biased_overlap")
