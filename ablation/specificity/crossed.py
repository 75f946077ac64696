"""Double dissociation: group A is for behaviour a and group B for b, and not the other way."""

from dataclasses import dataclass

import numpy as np

from ...stats import DRAWS
from ...stats.intervals import LEVEL
from .behaviours import Hurt

#: What each contrast is of how much A and B hurt a and b: (Aa, Ab, Ba, Bb).
CONTRASTS = {
    "A hurts a more than b": (1, -1, 0, 0),
    "B hurts b more than a": (0, 0, -1, 1),
    "a is hurt by A more than by B": (1, 0, -1, 0),
    "b is hurt by B more than by A": (0, -1, 0, 1),
}
INTERACTION = "interaction"
#: Draws of units made at a time.
_BLOCK = 200


@dataclass(frozen=True)
class Crossed:
    """The contrasts and the interaction, in the order of `names`."""

    cells: np.ndarray
    """(Aa, Ab, Ba, Bb)"""
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    """One-sided: that the contrast is not above 0."""

    @property
    def names(self) -> tuple[str, ...]:
        return (*CONTRASTS, INTERACTION)

    @property
    def p_contrasts(self) -> float:
        """That not all four contrasts are above 0 (an intersection–union test: the largest p)."""
        return float(self.p[: len(CONTRASTS)].max())


def crossed(a: Hurt, b: Hurt, groups: tuple[int, int], seed: int) -> Crossed:
    """Contrasts of two groups and two behaviours, by percentile bootstrap over units.

    Behaviours on the same examples are resampled together, others apart (a two-sample bootstrap);
    within a behaviour both groups are measured on the same examples, so they are paired. The
    interaction is (Aa − Ab) + (Bb − Ba).

    Args:
        groups: places of A and B among the parts.
    """
    places = list(groups)
    together = a.ids == b.ids and len(a.counts) == len(b.counts)
    generators = [
        np.random.default_rng([seed, 0]),
        np.random.default_rng([seed, int(not together)]),
    ]
    draws = []
    for start in range(0, DRAWS, _BLOCK):
        sides = []
        for hurt, generator in zip((a, b), generators, strict=True):
            units = len(hurt.counts)
            size = min(_BLOCK, DRAWS - start)
            weights = generator.multinomial(units, np.full(units, 1 / units), size)
            sides.append(hurt.resampled(weights)[:, places])
        draws.append(np.stack(sides, axis=2).reshape(-1, 4))
    matrix = np.array([*CONTRASTS.values(), (1, -1, -1, 1)]).T
    cells = np.stack([a.means[places], b.means[places]], axis=1).ravel()
    sampled = np.concatenate(draws) @ matrix
    edge = (1 - LEVEL) / 2
    low, high = np.quantile(sampled, [edge, 1 - edge], axis=0)
    not_above = (sampled <= max(a.rounding, b.rounding)).sum(0)
    return Crossed(cells, cells @ matrix, low, high, (1 + not_above) / (1 + DRAWS))


def worse_than_matched(own: float, matched: np.ndarray, rounding: float) -> float:
    """Permutation p: how many layer-matched sets hurt as much, the group being one of them."""
    return (1 + int((matched >= own - rounding).sum())) / (1 + len(matched))
