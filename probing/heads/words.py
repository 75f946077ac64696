"""Attention between words, put together from blocks of rows."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ...capture import Event, Hook, Site, collate, find_sites, hooked
from ...corpora import Encoding, Sentence, encode
from ...corpora.align import misfit
from ...corpora.text import text_to_sentence
from ...errors import CaptureError
from ...models import LoadedModel
from .relations import membership, predict_heads
from .rows import BLOCK


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


def attention_between_words(
    model: LoadedModel, text: str | Sentence, heads: Sequence[tuple[int, int]]
) -> np.ndarray:
    """Word maps of chosen heads on a text of any length the model reads, a book for example.

    Attention to a word sums its columns, attention from a word averages its rows; specials are
    dropped. Attention between tokens exists a block of rows at a time.

    Args:
        heads: (layer, head) of each.

    Returns:
        (head, word, word), in the order of `heads`.

    Raises:
        CaptureError: a head that does not exist, or a text that does not fit the model.
    """
    sentence = text_to_sentence(text, id=text[:40]) if isinstance(text, str) else text
    encoding = encode(sentence, model.tokenizer)
    if reason := misfit(encoding, model.max_tokens):
        raise CaptureError(f"The text {sentence.id!r} cannot be captured: {reason}.")
    device = model.device
    words = torch.from_numpy(encoding.words.astype(np.int64)).to(device)
    sizes = torch.from_numpy(encoding.word_tokens).to(device).clamp(min=1).float()
    maps = torch.zeros(len(heads), len(sentence), len(sentence), device=device)

    def observe(event: Event) -> None:
        for place, (layer, head) in enumerate(heads):
            if layer != event.site.layer:
                continue
            rows, keys = words[event.rows], words[event.keys]
            block = event.attention[0, head].float()[rows >= 0][:, keys >= 0]
            to_words = torch.zeros(len(block), len(sentence), device=device)
            to_words.index_add_(1, keys[keys >= 0], block)
            inside = rows[rows >= 0]
            maps[place].index_add_(0, inside, to_words / sizes[inside, None])

    _check_heads(model, heads)
    layers = {layer for layer, _ in heads}
    batch = collate([encoding], model)
    with torch.no_grad(), hooked(model.module, Hook(observe=observe, layers=layers, block=BLOCK)):
        model.module(**batch.inputs)
    return maps.cpu().numpy()


def _check_heads(model: LoadedModel, heads: Sequence[tuple[int, int]]) -> None:
    there = {(site.layer, head) for site in find_sites(model.module) for head in range(site.heads)}
    unknown = [f"L{layer}H{head}" for layer, head in heads if (layer, head) not in there]
    if unknown or not heads:
        raise CaptureError(
            f"Got the heads {unknown or 'none'}; this model has L0H0 to "
            f"L{max(there)[0]}H{max(there)[1]}, given as pairs like (0, 0)."
        )
