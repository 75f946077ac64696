"""In which order heads are removed: by importance, its reverse, or at random."""

from collections.abc import Callable, Sequence

import numpy as np

from ..parts import Head

#: What ranks the heads, given those that are gone: (layer, head), the lowest first.
Ranking = Callable[[Sequence[Head]], np.ndarray]


def head_counts(layers: int, heads: int, step: float, *, at_least_one: bool) -> list[int]:
    """How many heads are gone at each point, from the first step to the last head.

    Args:
        step: share of all heads that goes at a time, at least one head.
        at_least_one: whether every layer keeps one head.
    """
    last = layers * heads - (layers if at_least_one else 0)
    size = max(1, round(step * layers * heads))
    return [*range(size, last, size), last]


def removal(rank: Ranking, counts: Sequence[int], *, at_least_one: bool) -> list[Head]:
    """The heads in the order in which they go; `rank` is asked anew for every count."""
    gone: list[Head] = []
    for count in counts:
        gone += lowest(rank(gone), gone, count - len(gone), at_least_one=at_least_one)
    return gone


def lowest(
    scores: np.ndarray, gone: Sequence[Head], count: int, *, at_least_one: bool
) -> list[Head]:
    """The next heads to go, lowest score first; of equal ones the first layer and head.

    Args:
        scores: (layer, head).
    """
    left = np.full(len(scores), scores.shape[1])
    for layer, _ in gone:
        left[layer] -= 1
    chosen: list[Head] = []
    for place in np.argsort(scores, axis=None, kind="stable"):
        layer, head = divmod(int(place), scores.shape[1])
        last_of_layer = at_least_one and left[layer] == 1
        if len(chosen) < count and (layer, head) not in gone and not last_of_layer:
            chosen.append((layer, head))
            left[layer] -= 1
    return chosen


def random_scores(shape: tuple[int, int], seed: int, draw: int) -> np.ndarray:
    """One random order, as scores (layer, head) without ties."""
    return np.random.default_rng([seed, draw]).permutation(shape[0] * shape[1]).reshape(shape)
