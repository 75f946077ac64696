"""Attention between words, put together from blocks of rows."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ...capture import Event, Site
from ...corpora import Encoding
from .relations import membership, predict_heads


class WordMaps:
    """Word maps of every head of a batch; hang `observe` on a hook with `block`.

    Attention to a word sums its columns, attention from a word averages its rows; specials are
    dropped, the diagonal is zero.
    """

    def __init__(self, encodings: Sequence[Encoding], mask: Tensor) -> None:
        self.belongs = membership(encodings, mask, torch.float32)
        sizes = self.belongs.sum(1, keepdim=True).clamp(min=1)
        self.averaging = (self.belongs / sizes).transpose(1, 2)[:, None]
        self.maps: dict[Site, Tensor] = {}

    def observe(self, event: Event) -> None:
        """Add one block of rows."""
        attention = event.attention.float()
        to_words = attention @ self.belongs[:, None, event.keys]
        part = self.averaging[..., event.rows] @ to_words
        known = self.maps.get(event.site)
        self.maps[event.site] = part if known is None else known + part

    def of(self, site: Site) -> Tensor:
        """(batch, head, word, word)."""
        maps = self.maps[site]
        maps.diagonal(dim1=2, dim2=3).zero_()
        return maps

    def predictions(self, sites: Sequence[Site]) -> np.ndarray:
        """The head each map predicts for each word: (batch, layer, head, direction, word)."""
        answers = [predict_heads(self.of(site)).to(torch.int16).cpu().numpy() for site in sites]
        return np.stack(answers, axis=1)
