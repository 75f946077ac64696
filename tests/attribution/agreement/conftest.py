"""Sentences whose scores are given, or drawn at random."""

from collections.abc import Callable

import numpy as np
import pytest

from bertology.attribution import Scores
from bertology.attribution.floors import FLOORS
from bertology.attribution.scores import SCORES
from bertology.attribution.words import Items


@pytest.fixture(scope="session")
def make_sentence() -> Callable[..., Scores]:
    """A sentence of random scores, except those given; its first head is leave-one-out."""

    def make(length: int, generator: np.random.Generator, **given: np.ndarray) -> Scores:
        words = Items(tuple(map(str, range(length))), np.arange(length), np.arange(length))
        names = dict.fromkeys([*SCORES, *FLOORS, *given])
        named = {name: given.get(name, generator.normal(size=length)) for name in names}
        heads = np.stack([named["leave_one_out"], generator.random(length)])
        return Scores(words, np.array([0, 1]), np.array([0, 0]), heads, named)

    return make
