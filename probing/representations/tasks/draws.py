"""Random draws that depend on a text alone, whatever corpus it stands in."""

import hashlib

import numpy as np


def generator_of(text: str, seed: int = 0) -> np.random.Generator:
    """The generator of a text."""
    digest = hashlib.sha256(f"{seed} {text}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))
