"""Where hidden states come from: the model, random models, and the model on shuffled words."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from ....corpora import Corpus
from ....models import LoadedModel, randomised
from ..states import States, states_of_model
from .options import RANDOM_MODELS, ProbeOptions


@dataclass(frozen=True)
class Source:
    """One origin of the hidden states of both parts."""

    name: str
    number: int
    """Which of several random models."""
    read: Callable[[], tuple[States, States]]
    """The states of the training and of the evaluation part; may take a pass of the model."""


def control_sources(
    model: LoadedModel, train: Corpus, evaluate: Corpus, options: ProbeOptions
) -> Iterator[Source]:
    """The sources that are asked for besides the model itself."""
    for name in dict.fromkeys(options.controls):
        seeds = np.random.SeedSequence([options.seed, 1]).generate_state(
            options.random_models if name in RANDOM_MODELS else 1
        )
        read = partial(_READERS[name], model, train, evaluate, options)
        for number, seed in enumerate(seeds.tolist()):
            yield Source(name, number, partial(read, seed))


def _random_model(
    keep_embeddings: bool,
    model: LoadedModel, train: Corpus, evaluate: Corpus, options: ProbeOptions, seed: int,
) -> tuple[States, States]:  # fmt: skip
    drawn = randomised(model, keep_embeddings=keep_embeddings, seed=seed)
    return (
        states_of_model(drawn, train, options.layers),
        states_of_model(drawn, evaluate, options.layers),
    )


def _shuffled(
    model: LoadedModel, train: Corpus, evaluate: Corpus, options: ProbeOptions, seed: int
) -> tuple[States, States]:
    raise NotImplementedError


_READERS: dict[str, Callable[..., tuple[States, States]]] = {
    "random_weights": partial(_random_model, False),
    "random_layers": partial(_random_model, True),
    "shuffled_words": _shuffled,
}
