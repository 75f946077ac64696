"""Where hidden states come from: the model, random models, and the model on shuffled words."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from ....corpora import Corpus
from ....errors import CorpusError
from ....models import LoadedModel, randomised
from ..controls import shuffled_states
from ..states import States, states_of_model
from .options import RANDOM_MODELS, ProbeOptions

#: Reads a corpus; what is random about it hangs on the seed.
Reader = Callable[[LoadedModel, Corpus, tuple[int, ...], int], States]


@dataclass(frozen=True)
class Source:
    """One origin of the hidden states of both parts."""

    name: str
    number: int
    """Which of several random models."""
    read: Callable[[], tuple[States, States]]
    """The states of the training and of the evaluation part; may take a pass of the model."""


def control_sources(
    model: LoadedModel, parts: tuple[Corpus, Corpus], states: tuple[States, States],
    options: ProbeOptions,
) -> Iterator[Source]:  # fmt: skip
    """The sources that are asked for besides the model itself.

    Args:
        parts: the training and the evaluation part.
        states: those of the model, whose words and layers every source has.
    """
    for name in dict.fromkeys(options.controls):
        count = options.random_models if name in RANDOM_MODELS else 1
        seeds = np.random.SeedSequence([options.seed, 2]).generate_state(count)
        for number, seed in enumerate(seeds.tolist()):
            yield Source(name, number, partial(_read, name, model, parts, states, seed))


def _read(
    name: str, model: LoadedModel, parts: tuple[Corpus, Corpus], states: tuple[States, States],
    seed: int,
) -> tuple[States, States]:  # fmt: skip
    train, evaluate = (
        _same_words(name, own, READERS[name](model, _fitting(part, own), own.layers, seed))
        for part, own in zip(parts, states, strict=True)
    )
    return train, evaluate


def _fitting(corpus: Corpus, states: States) -> Corpus:
    return Corpus(corpus.name, states.sentences, corpus.sha256)


def _same_words(name: str, own: States, other: States) -> States:
    """The states of a source, if its rows are the words of the model's own states."""
    if len(other.sentences) != len(own.sentences):
        first, reason = other.skipped[0]
        raise CorpusError(
            f"{len(other.skipped)} sentences that the model reads do not fit it as {name}, the "
            f"first being {first!r} ({reason}); leave them out, or this control."
        )
    if (differ := np.flatnonzero((other.word_tokens > 0) != (own.word_tokens > 0))).size:
        sentence = own.sentences[int(np.searchsorted(own.offsets, differ[0], "right")) - 1]
        raise CorpusError(
            f"{differ.size} words have tokens in the model's own states or in those of {name}, and "
            f"not in both, the first in sentence {sentence.id!r}; leave out their sentences, or "
            "this control."
        )
    return other


def _random_weights(
    model: LoadedModel, corpus: Corpus, layers: tuple[int, ...], seed: int
) -> States:
    drawn = randomised(model, keep_embeddings=False, seed=seed)
    return states_of_model(drawn, corpus, layers)


def _random_layers(
    model: LoadedModel, corpus: Corpus, layers: tuple[int, ...], seed: int
) -> States:
    return states_of_model(randomised(model, keep_embeddings=True, seed=seed), corpus, layers)


def _shuffled_words(
    model: LoadedModel, corpus: Corpus, layers: tuple[int, ...], seed: int
) -> States:
    return shuffled_states(model, corpus, layers, seed=seed)


READERS: dict[str, Reader] = {
    "random_weights": _random_weights,
    "random_layers": _random_layers,
    "shuffled_words": _shuffled_words,
}
