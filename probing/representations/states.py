"""Hidden states of every word of a corpus, from a model's own run or from a store on disk."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from ...capture import Batch, eval_mode, hidden_states, stream
from ...capture.identity import sentences_sha256
from ...capture.store import ActivationStore
from ...corpora import Corpus, Encoding, Sentence, encode_all
from ...corpora.text import units_of
from ...errors import CaptureError, CorpusError
from ...models import LoadedModel


@dataclass(frozen=True)
class States:
    """The hidden states of the words of a corpus; rows are words, in the order of the text."""

    sentences: tuple[Sentence, ...]
    """Those that fit the model."""
    layers: tuple[int, ...]
    """Hidden states that can be read: 0 is the embeddings, k+1 the output of block k."""
    read: Callable[[int], np.ndarray]
    """One hidden state: (word, hidden) float32; NaN in the rows of words without tokens."""
    word_tokens: np.ndarray
    """(word,): how many tokens each word has."""
    units: np.ndarray
    """(sentence,): the document or sentence (`corpus.unit`) that is resampled."""
    unit: str
    skipped: tuple[tuple[str, str], ...]
    """(sentence id, reason) of every sentence that was left out."""

    @cached_property
    def offsets(self) -> np.ndarray:
        """(sentence + 1,): the words of sentence i are the rows offsets[i] to offsets[i + 1]."""
        return np.concatenate([[0], np.cumsum([len(s) for s in self.sentences], dtype=np.int64)])


def states_of_model(
    model: LoadedModel, corpus: Corpus, layers: Sequence[int] | None = None
) -> States:
    """Run the model over a corpus and keep the mean of each word's tokens in memory.

    Takes 4 bytes × hidden states × words × hidden; write a store for more. Sentences that do not
    fit the model are skipped, never truncated.

    Raises:
        CorpusError: no sentence fits the model.
        CaptureError: the blocks of the model cannot be found, there is no such hidden state, or
            one is not finite.
    """
    encodings, skipped = encode_all(corpus.sentences, model.tokenizer, model.max_tokens)
    if not encodings:
        raise CorpusError(
            f"No sentence of {corpus.name} fits the model {model.name}: {skipped[0][1]}; "
            "give shorter sentences."
        )

    def run(batch: Batch) -> list[np.ndarray]:
        return _pooled_batch(model, batch, layers)

    parts = stream(model, encodings, run, description="hidden states")
    kept = tuple(range(len(parts[0]))) if layers is None else tuple(layers)
    states = np.concatenate(parts, axis=1)
    counts = np.concatenate([encoding.word_tokens for encoding in encodings])
    if not np.isfinite(states[:, counts > 0]).all():
        raise CaptureError(
            f"Hidden states of {model.name} are not finite on {corpus.name}, so nothing can be "
            "read off them; load the model with dtype=torch.float32."
        )

    def read(layer: int) -> np.ndarray:
        if layer not in kept:
            raise CaptureError(f"Hidden state {layer} was not kept; choose one of {list(kept)}.")
        return states[kept.index(layer)]

    return States(
        sentences=tuple(encoding.sentence for encoding in encodings),
        layers=kept,
        read=read,
        word_tokens=counts,
        # Skipped sentences are known by identity: ids need not be unique in a treebank.
        units=_units(corpus, {id(encoding.sentence) for encoding in encodings}),
        unit=corpus.unit,
        skipped=tuple((name, reason) for name, reason in skipped),
    )


def states_of_store(store: ActivationStore, corpus: Corpus) -> States:
    """The states of a corpus as they lie in a store, read one layer at a time.

    Entities, proto-roles and labels are no part of what a store is of: they may have changed.

    Raises:
        CorpusError: the store is of another corpus, or does not tell which sentences it skipped.
        CaptureError: it holds no hidden states.
    """
    layers = store.layers.get("hidden_states", ())
    if not layers:
        raise CaptureError(
            f"The store {store.folder} holds no hidden states but {', '.join(store.layers)}; write "
            "one with what=('hidden_states',)."
        )
    if store.description["data"]["sentences_sha256"] != sentences_sha256(corpus.sentences):
        raise CorpusError(
            f"The store {store.folder} was made of {store.description['data']['name']} "
            f"({len(store.members)} sentences); {corpus.name} ({len(corpus)}) has other sentences, "
            "trees, mentions or frames. Give the corpus that was stored, or write it a store."
        )
    kept, skipped = _kept(store, corpus)
    return States(
        sentences=tuple(kept),
        layers=layers,
        read=store.hidden_states,
        word_tokens=store.word_tokens.astype(np.int64),
        units=_units(corpus, {id(sentence) for sentence in kept}),
        unit=corpus.unit,
        skipped=tuple((sentence.id, "it does not fit the model") for sentence in skipped),
    )


def _kept(store: ActivationStore, corpus: Corpus) -> tuple[list[Sentence], list[Sentence]]:
    """The sentences that a store has, and those it skipped.

    It tells the order, ids and lengths of those it has.
    """
    kept: list[Sentence] = []
    skipped: list[Sentence] = []
    stored = [(member.id, member.words) for member in store.members]
    for sentence in corpus.sentences:
        following = stored[len(kept)] if len(kept) < len(stored) else None
        (kept if following == (sentence.id, len(sentence)) else skipped).append(sentence)
    unclear = {(s.id, len(s)) for s in kept} & {(s.id, len(s)) for s in skipped}
    if unclear or len(kept) != len(store.members):
        raise CorpusError(
            f"The store {store.folder} skipped {len(skipped)} sentences of {corpus.name}; which "
            "ones cannot be told, as others have the same id and length. Give each its own id."
        )
    return kept, skipped


def _units(corpus: Corpus, kept: set[int]) -> np.ndarray:
    units = units_of(list(corpus.sentences), corpus.unit)
    pairs = zip(corpus.sentences, units, strict=True)
    return np.array([unit for sentence, unit in pairs if id(sentence) in kept])


def _pooled_batch(
    model: LoadedModel, batch: Batch, layers: Sequence[int] | None
) -> list[np.ndarray]:
    # Hidden states need no proof of attention, only eval mode.
    with torch.no_grad(), eval_mode(model.reader), hidden_states(model.reader) as states:
        model.reader(**batch.inputs)
    chosen = _chosen(states, layers, model)
    return [
        word_means(encoding, torch.stack([state[row, : len(encoding)] for state in chosen]))
        for row, encoding in enumerate(batch.encodings)
    ]


def _chosen(states: Sequence[Any], layers: Sequence[int] | None, model: LoadedModel) -> list[Any]:
    if layers is None:
        return list(states)
    if wrong := sorted(set(layers) - set(range(len(states)))):
        raise CaptureError(
            f"{model.name} has no hidden states {wrong}; choose from 0 (the embeddings) to "
            f"{len(states) - 1}."
        )
    return [states[layer] for layer in layers]


def word_means(encoding: Encoding, states: torch.Tensor) -> np.ndarray:
    """Mean over the tokens of each word: (…, word, hidden); NaN for a word without tokens.

    Args:
        states: (…, token, hidden) of one text, without padding.
    """
    owned = encoding.words[None, :] == np.arange(len(encoding.sentence))[:, None]
    with np.errstate(invalid="ignore"):
        weights = torch.from_numpy(owned / owned.sum(axis=1, keepdims=True))
    return (weights.to(states.device, torch.float32) @ states.float()).cpu().numpy()
