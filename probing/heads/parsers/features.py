"""What the parsers read of a sentence: maps of all heads, specials, word vectors, gold heads."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....capture import Batch, Event, Hook, Site, hooked, refuse_infinite
from ....corpora import Corpus, Encoding
from ....errors import ModelError
from ....models import LoadedModel
from ..relations import membership
from ..rows import TokenFeatures, block_size
from ..words import WordMaps

#: Bytes that the maps of the training sentences may take in half precision; fitting needs up to
#: five times as much at its peak.
BUDGET = 512 << 20
#: The tokens that stand for ROOT: columns of `TokenFeatures`.
SPECIALS = slice(1, 3)
#: What `gold` says of a word that is neither trained on nor scored.
LEFT_OUT = -1


@dataclass(frozen=True)
class ParserInput:
    """A sentence as the parsers read it.

    Heads of all layers stand on one axis, `head`. Candidate heads of a word stand on one axis,
    too: 0 is ROOT, 1 + i is word i.
    """

    maps: Tensor
    """(head, word, word), attention from the first word to the second; the diagonal is zero."""
    specials: Tensor
    """(special, head, word), attention from each word to [CLS] and to all [SEP], 0 without."""
    vectors: Tensor
    """(word, width), the model's input embeddings, the mean over the tokens of the word."""
    gold: Tensor
    """(word,), the candidate that is the head; `LEFT_OUT` for punctuation and for pairs with a
    word that has no token."""

    def __len__(self) -> int:
        return len(self.gold)

    def compact(self) -> "ParserInput":
        """The same in half precision, to be kept."""
        return replace(self, maps=self.maps.half(), specials=self.specials.half())

    def to(self, device: torch.device | str) -> "ParserInput":
        """The same in single precision on a device."""
        return ParserInput(
            self.maps.to(device, torch.float32),
            self.specials.to(device, torch.float32),
            self.vectors.to(device),
            self.gold.to(device),
        )


class _ToSpecials:
    """Attention of each word of a batch to [CLS] and [SEP]; hang `observe` on a hook."""

    def __init__(self, encodings: Sequence[Encoding], mask: Tensor) -> None:
        self.columns = TokenFeatures.of(encodings, mask).columns[..., SPECIALS]
        belongs = membership(encodings, mask, torch.float32)
        self.averaging = (belongs / belongs.sum(1, keepdim=True).clamp(min=1)).transpose(1, 2)
        self.of: dict[Site, Tensor] = {}
        """(batch, head, word, special)."""

    def observe(self, event: Event) -> None:
        part = event.attention.float() @ self.columns[:, None, event.keys]
        by_word = self.averaging[:, None, :, event.rows] @ part
        self.of[event.site] = self.of[event.site] + by_word if event.site in self.of else by_word


def read_inputs(model: LoadedModel, batch: Batch) -> list[ParserInput]:
    """What the parsers read of each text of a batch, on the CPU.

    Raises:
        CaptureError: attention that is not finite.
        ModelError: the model has no table of input embeddings.
    """
    maps, specials = WordMaps(batch.encodings, batch.mask), _ToSpecials(batch.encodings, batch.mask)

    def observe(event: Event) -> None:
        maps.observe(event)
        specials.observe(event)

    hook = Hook(observe=observe, block=block_size(batch.mask.device))
    with torch.no_grad(), hooked(model.reader, hook) as sites:
        model.reader(**batch.inputs)
    sums = torch.stack([maps.of(site).sum((1, 2, 3)) for site in sites], dim=1)
    refuse_infinite(sums.cpu().numpy(), sites, batch.encodings)
    all_maps = torch.cat([maps.of(site) for site in sites], dim=1).cpu()
    all_specials = torch.cat([specials.of[site] for site in sites], dim=1).cpu()
    table = embedding_table(model)
    inputs = []
    for text, encoding in enumerate(batch.encodings):
        words = len(encoding.sentence)
        inputs.append(
            ParserInput(
                all_maps[text, :, :words, :words].clone(),
                all_specials[text, :, :words].permute(2, 0, 1).contiguous(),
                word_vectors(encoding, table),
                torch.from_numpy(gold_candidates(encoding)),
            )
        )
    return inputs


def embedding_table(model: LoadedModel) -> Tensor:
    """The input embeddings of the vocabulary: (token, width).

    Raises:
        ModelError: the model has no such table.
    """
    try:
        table: Any = model.reader.get_input_embeddings().weight
    except (AttributeError, NotImplementedError) as error:
        raise ModelError(
            f"{type(model.reader).__name__} names no input embeddings (get_input_embeddings), "
            "which the parsers take as word vectors; give a model of transformers that has them."
        ) from error
    return table.detach()


def word_vectors(encoding: Encoding, table: Tensor) -> Tensor:
    """The mean embedding of the tokens of each word, 0 for a word of none: (word, width)."""
    inside = np.flatnonzero(encoding.words >= 0)
    ids = torch.from_numpy(encoding.ids[inside].astype(np.int64)).to(table.device)
    sums = torch.zeros(len(encoding.sentence), table.shape[1])
    sums.index_add_(0, torch.from_numpy(encoding.words[inside]), table[ids].float().cpu())
    return sums / torch.from_numpy(encoding.word_tokens).clamp(min=1)[:, None]


def gold_candidates(encoding: Encoding) -> np.ndarray:
    """`ParserInput.gold` of a sentence with a tree."""
    sentence = encoding.sentence
    heads = np.array(sentence.heads)
    punctuation = np.array([label.split(":")[0] == "punct" for label in sentence.deprels])
    silent = encoding.word_tokens == 0
    left_out = punctuation | silent | (silent[heads] & (heads >= 0))
    return np.where(left_out, LEFT_OUT, heads + 1)


def sample_sentences(
    corpus: Corpus, count: int, heads: int, *, seed: int, budget: float = BUDGET
) -> Corpus:
    """Sentences with a tree, drawn at random, whose maps fit the budget; in their order.

    Args:
        count: at most so many.
        heads: how many maps each sentence has.
    """
    with_tree = [i for i, sentence in enumerate(corpus.sentences) if sentence.heads]
    drawn = np.random.default_rng(seed).permutation(with_tree)
    sizes = np.array([len(corpus.sentences[i]) for i in drawn])
    bytes_ = np.cumsum(2.0 * heads * sizes * (sizes + 2))
    chosen = np.sort(drawn[: min(count, int(np.searchsorted(bytes_, budget, "right")))])
    sentences = tuple(corpus.sentences[i] for i in chosen.tolist())
    return Corpus(corpus.name, sentences, corpus.sha256)
