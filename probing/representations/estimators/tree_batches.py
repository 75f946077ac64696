"""Sentences side by side, with what a structural probe is to find in them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .training import as_tensor

#: Sentences a batch.
_BATCH = 20


@dataclass(frozen=True)
class TreeBatch:
    """Sentences side by side, padded at their ends."""

    places: Tensor
    """(sentence, word): the rows of the words among all states; 0 behind the end."""
    words: Tensor
    """(sentence, word): whether there is a word."""
    gold: Tensor
    """(sentence, word) or (sentence, word, word)."""

    @property
    def lengths(self) -> Tensor:
        return self.words.sum(1)

    @property
    def pairs(self) -> Tensor:
        return self.words[:, :, None] & self.words[:, None, :]


def tree_batches(golds: Sequence[np.ndarray], part: np.ndarray, device: str) -> list[TreeBatch]:
    """Some of the sentences, those of nearly one length together; of one length as in `part`."""
    lengths = np.array([len(gold) for gold in golds])
    offsets = np.cumsum(lengths) - lengths
    ordered = part[np.argsort(lengths[part], kind="stable")]
    found = []
    for chosen in np.split(ordered, range(_BATCH, len(ordered), _BATCH)):
        words = np.arange(lengths[chosen].max()) < lengths[chosen, None]
        places = np.where(words, offsets[chosen, None] + np.arange(words.shape[1]), 0)
        gold = np.zeros((len(chosen), *words.shape[1:] * golds[0].ndim))
        for row, number in enumerate(chosen):
            gold[row][tuple(map(slice, golds[number].shape))] = golds[number]
        found.append(
            TreeBatch(
                torch.from_numpy(places).to(device),
                torch.from_numpy(words).to(device),
                as_tensor(gold, device),
            )
        )
    return found
