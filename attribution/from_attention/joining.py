"""Maps of several layers as one, where each map holds the residual already."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Joined:
    """Maps of one text whose rows sum to 1, and their product over the layers."""

    layers: np.ndarray
    """(layer, query, key), rows sum to 1."""
    joined: np.ndarray
    """(query, key): later layers multiply from the left; no identity is added."""
    identity_rows: int
    """Rows that were all zero, and became those of the identity."""


def join(maps: np.ndarray) -> Joined:
    """Normalise the rows of each layer, and multiply the layers.

    Args:
        maps: (layer, query, key), not negative.
    """
    totals = maps.sum(-1, keepdims=True)
    empty = totals == 0
    rows = np.where(empty, np.eye(maps.shape[-1]), maps / np.where(empty, 1, totals))
    return Joined(rows, product(rows), int(empty.sum()))


def product(maps: np.ndarray) -> np.ndarray:
    """(query, key): the product of (layer, query, key), later layers from the left."""
    joined = maps[0]
    for later in maps[1:]:
        joined = later @ joined
    return joined
