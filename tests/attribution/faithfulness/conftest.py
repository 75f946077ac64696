"""Texts of numbers, for models that compute a given function of them."""

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace

import numpy as np
import pytest

from bertology.attribution import Goal, Prepared, Scores
from bertology.attribution.floors import (
    frequency_scores,
    position_scores,
    random_scores,
)
from bertology.attribution.words import items_of
from bertology.corpora import encode
from bertology.corpora.text import words_to_sentence
from bertology.models import LoadedModel

Named = Callable[[np.ndarray], np.ndarray]


def build(
    model: LoadedModel, texts: Sequence[np.ndarray], values: Sequence[float], **named: Named
) -> SimpleNamespace:
    """Texts of the words wN for each number N, with f(x) given and scores as functions of N."""
    sentences = [
        words_to_sentence([f"w{int(n)}" for n in text], id=str(number))
        for number, text in enumerate(texts)
    ]
    encodings = [encode(sentence, model.tokenizer) for sentence in sentences]
    goals = [
        Goal("class", "only", float(value), np.zeros(len(e)), np.ones(len(e), dtype=bool), index=0)
        for e, value in zip(encodings, values, strict=True)
    ]
    items = [items_of(e, goal, "word") for e, goal in zip(encodings, goals, strict=True)]
    floors: Mapping[str, list[np.ndarray]] = {
        "random": random_scores(items, seed=0),
        "position": position_scores(items),
        "frequency": frequency_scores(items),
    }
    none = np.zeros(0)
    scores = [
        Scores(
            own, none, none, none,
            {name: of(np.asarray(text, dtype=float)) for name, of in named.items()}
            | {name: floor[number] for name, floor in floors.items() if name not in named},
        )
        for number, (own, text) in enumerate(zip(items, texts, strict=True))
    ]  # fmt: skip
    prepared = Prepared(encodings, goals, list(range(len(texts))), [])
    return SimpleNamespace(model=model, prepared=prepared, scores=scores, units=range(len(texts)))


@pytest.fixture(scope="session")
def make_case() -> Callable[..., SimpleNamespace]:
    return build


@pytest.fixture
def planted(toy: Callable[..., LoadedModel]) -> SimpleNamespace:
    """A sum over the words of 40 texts, its perfect ranking under the name leave_one_out."""
    model = toy(lambda x, mask: (x * mask).sum(1))
    generator = np.random.default_rng(0)
    texts = [generator.integers(1, 50, size=generator.integers(6, 14)) for _ in range(40)]
    values = [text.sum() for text in texts]
    return build(model, texts, values, leave_one_out=lambda own: own, rollout=np.ones_like)
