"""Attention between words, put together from blocks of rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...capture import Event, Hook, Site, collate, find_sites, hooked, refuse_infinite
from ...corpora import Encoding, Sentence, encode
from ...corpora.align import misfit
from ...corpora.text import text_to_sentence
from ...errors import CaptureError
from ...models import LoadedModel
from .relations import membership, predict_heads
from .rows import block_size

#: Up to so many words torch finds the largest of a row faster than numpy.
_SHORT = 128


@dataclass(frozen=True)
class _Words:
    """The words of one text."""

    index: Tensor
    """(token,), the word a token belongs to; a word past the last one for tokens of none."""
    shares: Tensor
    """(token,), what the row of a token counts among those of its word."""

    @staticmethod
    def of(encoding: Encoding, device: torch.device, rows: str = "mean") -> "_Words":
        count = len(encoding.sentence)
        index = np.where(encoding.words < 0, count, encoding.words).astype(np.int64)
        shares = _shares(index, rows).astype(np.float32)
        return _Words(torch.from_numpy(index).to(device), torch.from_numpy(shares).to(device))

    def empty_maps(self, heads: int, words: int) -> Tensor:
        """(head, word + 1, word + 1): the last row and column are those of no word."""
        return torch.zeros(heads, words + 1, words + 1, device=self.index.device)

    def add(self, maps: Tensor, attention: Tensor, rows: slice, keys: slice) -> None:
        """Add a block of attention (head, row, key) to maps."""
        to_words = attention.new_zeros(*attention.shape[:2], maps.shape[-1])
        to_words.index_add_(2, self.index[keys], attention)
        to_words *= self.shares[rows, None]
        maps.index_add_(1, self.index[rows], to_words)


def _shares(index: np.ndarray, rows: str) -> np.ndarray:
    if rows == "mean":
        return 1 / np.bincount(index)[index]
    first = np.zeros(len(index))
    first[np.unique(index, return_index=True)[1]] = 1
    return first


class WordMaps:
    """Word maps of every head of a batch; hang `observe` on a hook with `block`.

    Attention to a word sums its columns, attention from a word averages its rows (or takes the
    first, see `WORD_ROWS`); specials are dropped, the diagonal is zero.
    """

    def __init__(self, encodings: Sequence[Encoding], mask: Tensor, rows: str = "mean") -> None:
        self.maps: dict[Site, Tensor] = {}
        self.words = [len(encoding.sentence) for encoding in encodings]
        # Sums along an index are far cheaper than products with a matrix of zeros and ones, but
        # every text has an index of its own; short texts come many to a batch.
        self.alone = _Words.of(encodings[0], mask.device, rows) if len(encodings) == 1 else None
        if self.alone is None:
            self.belongs = membership(encodings, mask, torch.float32)
            counted = self.belongs if rows == "mean" else _first_tokens(self.belongs)
            sizes = counted.sum(1, keepdim=True).clamp(min=1)
            self.averaging = (counted / sizes).transpose(1, 2)[:, None]

    def observe(self, event: Event) -> None:
        """Add one block of rows."""
        attention = event.attention.float()
        known = self.maps.get(event.site)
        if self.alone is not None:
            if known is None:
                known = self.alone.empty_maps(attention.shape[1], self.words[0])[None]
            maps = known
            self.alone.add(maps[0], attention[0], event.rows, event.keys)
        else:
            # Not broadcast over heads: that would copy what belongs where for each of them.
            to_words = attention.flatten(1, 2) @ self.belongs[:, event.keys]
            to_words = to_words.unflatten(1, attention.shape[1:3])
            part = self.averaging[..., event.rows] @ to_words
            maps = part if known is None else known + part
        self.maps[event.site] = maps

    def of(self, site: Site) -> Tensor:
        """(batch, head, word, word)."""
        maps = self.maps[site] if self.alone is None else self.maps[site][..., :-1, :-1]
        maps.diagonal(dim1=2, dim2=3).zero_()
        return maps

    def predictions(self, sites: Sequence[Site]) -> np.ndarray:
        """The head each map predicts for each word: (batch, layer, head, direction, word)."""
        if max(self.words) > _SHORT:
            # One layer at a time stays in the cache.
            return np.stack([_predicted(self.of(site)) for site in sites], axis=1)
        return _predicted(torch.stack([self.of(site) for site in sites], dim=1))

    def of_texts(self, sites: Sequence[Site]) -> Iterator[np.ndarray]:
        """The maps of each text: (layer, head, word, word), its own words alone."""
        maps = [self.of(site).cpu().numpy() for site in sites]
        for text, words in enumerate(self.words):
            yield np.stack([one[text, :, :words, :words] for one in maps])


def _predicted(maps: Tensor) -> np.ndarray:
    """`predict_heads` where the maps are, and by what is faster there: they are large."""
    if maps.device.type == "cpu" and maps.shape[-1] > _SHORT:
        return predict_heads(maps.numpy())
    answers = [_largest(maps, axis) for axis in (-1, -2)]
    return torch.stack(answers, dim=-2).cpu().numpy()


def _largest(maps: Tensor, axis: int) -> Tensor:
    """The first place of the largest number along an axis; -1 where none is positive."""
    if maps.device.type == "cpu":
        weight, first = maps.max(axis)
    else:
        # Devices do not say which of equal numbers their argmax finds.
        weight = maps.amax(axis, keepdim=True)
        places = torch.arange(maps.shape[axis], dtype=torch.int16, device=maps.device)
        places = places if axis == -1 else places[:, None]
        first = torch.where(maps == weight, places, maps.shape[axis]).amin(axis)
        weight = weight.squeeze(axis)
    return torch.where(weight > 0, first, -1).to(torch.int16)


def _first_tokens(belongs: Tensor) -> Tensor:
    """Of membership (batch, token, word), the first token of each word."""
    return belongs * (belongs.cumsum(1) == 1)


def attention_between_words(
    model: LoadedModel, text: str | Sentence, heads: Sequence[tuple[int, int]]
) -> np.ndarray:
    """Word maps of chosen heads on a text of any length the model reads, a book for example.

    Attention to a word sums its columns, attention from a word averages its rows; specials are
    dropped; the diagonal is what a word pays to itself. Attention between tokens exists a block
    of rows at a time.

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
    words = _Words.of(encoding, model.device)
    maps = words.empty_maps(len(heads), len(sentence))

    def observe(event: Event) -> None:
        for place, (layer, head) in enumerate(heads):
            if layer == event.site.layer:
                block = event.attention[:1, head].float()
                words.add(maps[place : place + 1], block, event.rows, event.keys)

    _check_heads(model, heads)
    layers = {layer for layer, _ in heads}
    batch = collate([encoding], model)
    hook = Hook(observe=observe, layers=layers, block=block_size(model.device))
    with torch.no_grad(), hooked(model.reader, hook):
        model.reader(**batch.inputs)
    found = maps[:, :-1, :-1].cpu().numpy()
    refuse_infinite(found[None], [_site(model, layer) for layer, _ in heads], [encoding])
    return found


def _site(model: LoadedModel, layer: int) -> Site:
    return next(site for site in find_sites(model.reader) if site.layer == layer)


def _check_heads(model: LoadedModel, heads: Sequence[tuple[int, int]]) -> None:
    there = {(site.layer, head) for site in find_sites(model.reader) for head in range(site.heads)}
    unknown = [f"L{layer}H{head}" for layer, head in heads if (layer, head) not in there]
    if unknown or not heads:
        raise CaptureError(
            f"Got the heads {unknown or 'none'}; this model has L0H0 to "
            f"L{max(there)[0]}H{max(there)[1]}, given as pairs like (0, 0)."
        )
