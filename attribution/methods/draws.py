"""Random draws that depend on the seed and the text alone, not on the batch it is in."""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...corpora import Encoding
from ..goals import Goal


def generator_of(encoding: Encoding, *numbers: int) -> np.random.Generator:
    """The generator of a text, a seed and what else the draw depends on."""
    text = zlib.crc32(np.ascontiguousarray(encoding.ids, dtype=np.int64).tobytes())
    return np.random.default_rng([*numbers, text])


def random_scores(
    model: Any, encodings: Sequence[Encoding], goals: Sequence[Goal], *, seed: int
) -> list[np.ndarray]:
    """Standard normal scores of the tokens that may be scored (token,), 0 for others.

    The same text gets the same scores whatever the goal; the model is not run.
    """
    return [
        np.where(goal.scored, generator_of(encoding, seed).standard_normal(len(encoding)), 0.0)
        for encoding, goal in zip(encodings, goals, strict=True)
    ]
