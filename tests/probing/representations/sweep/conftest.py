"""Hidden states that are made up, so that what can be read off them is known."""

from collections.abc import Callable

import numpy as np
import pytest

from bertology.corpora.text import words_to_sentence
from bertology.probing.representations.states import States

TAGS = np.array(["ADJ", "NOUN", "VERB"])


def states_of(layers: list[np.ndarray], forms: list[str], labels: list[str], per: int) -> States:
    """Sentences of `per` words, each with a form, a label (UPOS) and a row of every layer."""
    sentences = tuple(
        words_to_sentence(
            forms[start : start + per], id=f"s{start}", upos=tuple(labels[start : start + per])
        )
        for start in range(0, len(forms), per)
    )
    return States(
        sentences=sentences,
        layers=tuple(range(len(layers))),
        read=lambda layer: layers[layer],
        word_tokens=np.ones(len(forms), np.int64),
        units=np.arange(len(sentences)),
        unit="sentence",
        skipped=(),
    )


def made_up(
    seed: int, words: int, strength: float, forms: int = 400, shares: tuple[float, ...] = ()
) -> States:
    """Sentences of five words; hidden state 0 is noise, 1 holds the label at a strength."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(TAGS, words, p=shares or (0.2, 0.5, 0.3))
    layers = [rng.standard_normal((words, 12)).astype(np.float32) for _ in range(2)]
    layers[1][:, :3] += strength * (labels[:, None] == TAGS)
    return states_of(
        layers, [f"w{i}" for i in rng.integers(0, forms, words)], labels.tolist(), per=5
    )


@pytest.fixture(scope="session")
def make_states() -> Callable[..., States]:
    return made_up


@pytest.fixture(scope="session")
def parts() -> tuple[States, States]:
    """Training and evaluation states with an easy label in hidden state 1 alone."""
    return made_up(0, 400, 10.0), made_up(1, 300, 10.0)
