"""Word features: the hidden states of a corpus, mean-pooled over the tokens of each word."""

from dataclasses import dataclass

import numpy as np
import torch

from ...capture import Batch, eval_mode, hidden_states, stream
from ...corpora import Corpus, Encoding, encode_all
from ...corpora.text import units_of
from ...errors import CaptureError, CorpusError
from ...models import LoadedModel
from .word_tasks import TASKS, UNLABELLED, has_task


@dataclass(frozen=True)
class WordStates:
    """Every word of a corpus that has tokens, in order, with its hidden states and labels."""

    states: np.ndarray
    """float32 (hidden_state, word, hidden); hidden state 0 is the embeddings."""
    words: tuple[str, ...]
    labels: dict[str, np.ndarray]
    """Labels of each task the corpus has, shape (word,), `_` where a word has none."""
    sentences: np.ndarray
    """Index of each word's sentence in the corpus, shape (word,)."""
    units: np.ndarray
    """Index of each word's document or sentence (`corpus.unit`), shape (word,)."""
    skipped: list[list[str]]
    """[sentence id, reason] of every sentence that was left out."""
    without_tokens: int
    """Number of words left out because no token covers them."""


def word_states(model: LoadedModel, corpus: Corpus) -> WordStates:
    """Hidden states of every word, the mean over its tokens.

    Sentences that do not fit the model are skipped, never truncated. All states are held in
    memory: 4 bytes × hidden states × words × hidden.

    Raises:
        CorpusError: no sentence fits the model.
        CaptureError: the blocks of the model cannot be found, or a state is not finite.
    """
    encodings, skipped = encode_all(corpus.sentences, model.tokenizer, model.max_tokens)
    if not encodings:
        raise CorpusError(
            f"No sentence of {corpus.name} fits the model {model.name}: {skipped[0][1]}; "
            "give shorter sentences."
        )

    def run(batch: Batch) -> list[np.ndarray]:
        return _pooled_batch(model, batch)

    states = np.concatenate(stream(model, encodings, run, description="hidden states"), axis=1)
    if not np.isfinite(states).all():
        raise CaptureError(
            f"Hidden states of {model.name} are not finite on {corpus.name}, so nothing can be "
            "read off them; load the model with dtype=torch.float32."
        )
    # Skipped sentences are known by identity: ids need not be unique in a treebank.
    kept = {id(encoding.sentence): _words_with_tokens(encoding) for encoding in encodings}
    places = [
        (number, word)
        for number, sentence in enumerate(corpus.sentences)
        for word in kept.get(id(sentence), ())
    ]
    return WordStates(
        states=states,
        words=tuple(corpus.sentences[number].words[word] for number, word in places),
        labels={name: _labels(name, corpus, places) for name in TASKS if has_task(name, corpus)},
        sentences=np.array([number for number, _ in places]),
        units=np.array(units_of(list(corpus.sentences), corpus.unit))[[n for n, _ in places]],
        skipped=skipped,
        without_tokens=sum(len(encoding.sentence) for encoding in encodings) - len(places),
    )


def _pooled_batch(model: LoadedModel, batch: Batch) -> list[np.ndarray]:
    # Hidden states need no proof of attention, only eval mode.
    with (
        torch.no_grad(),
        eval_mode(model.reader),
        hidden_states(model.reader) as states,
    ):
        model.reader(**batch.inputs)
    return [
        _pooled(encoding, torch.stack([state[row, : len(encoding)] for state in states]))
        for row, encoding in enumerate(batch.encodings)
    ]


def _pooled(encoding: Encoding, states: torch.Tensor) -> np.ndarray:
    """Mean over the tokens of each word: (hidden_state, word, hidden)."""
    owned = encoding.words[None, :] == _words_with_tokens(encoding)[:, None]
    weights = torch.from_numpy(owned / owned.sum(axis=1, keepdims=True))
    return (weights.to(states.device, torch.float32) @ states.float()).cpu().numpy()


def _words_with_tokens(encoding: Encoding) -> np.ndarray:
    return np.flatnonzero(encoding.word_tokens)


def _labels(name: str, corpus: Corpus, places: list[tuple[int, int]]) -> np.ndarray:
    labels = [TASKS[name].labels(sentence) for sentence in corpus.sentences]
    return np.array([labels[number][word] if labels[number] else UNLABELLED
                     for number, word in places])  # fmt: skip
