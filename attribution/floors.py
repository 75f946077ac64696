"""Floors: scores that know nothing of what the model did with this text.

Agreement that a floor reaches too is no evidence about attention.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from .words import Items

FLOORS = ("random", "position", "frequency", "other_sentence")


def random_scores(items: Sequence[Items], *, seed: int) -> list[np.ndarray]:
    """Uniform random numbers, for each text (item,)."""
    generator = np.random.default_rng(seed)
    return [generator.random(len(own)) for own in items]


def position_scores(items: Sequence[Items]) -> list[np.ndarray]:
    """Earlier items score higher: n, n−1, …, 1."""
    return [np.arange(len(own), 0, -1, dtype=float) for own in items]


def frequency_scores(items: Sequence[Items]) -> list[np.ndarray]:
    """Rarer types score higher: −ln of the relative frequency among all items given.

    Types are lower-cased.
    """
    counts = Counter(name.lower() for own in items for name in own.names)
    total = counts.total()
    return [
        -np.log(np.array([counts[name.lower()] for name in own.names]) / total) for own in items
    ]


def other_sentence_scores(
    items: Sequence[Items], scores: Sequence[np.ndarray], *, seed: int
) -> list[np.ndarray | None]:
    """The scores of another text with as many items; None where there is no such text."""
    others = other_texts(items, seed=seed)
    return [None if other is None else scores[other] for other in others]


def other_texts(items: Sequence[Items], *, seed: int) -> list[int | None]:
    """For each text, the number of another with as many items; None where there is none."""
    generator = np.random.default_rng(seed)
    of_length = defaultdict(list)
    for number, own in enumerate(items):
        of_length[len(own)].append(number)
    found: list[int | None] = []
    for number, own in enumerate(items):
        others = [other for other in of_length[len(own)] if other != number]
        found.append(int(generator.choice(others)) if others else None)
    return found
