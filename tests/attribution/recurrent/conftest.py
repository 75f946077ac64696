"""A classifier whose evidence is known: one word decides the class."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bertology.attribution.recurrent import (
    AttentionClassifier,
    read_instances,
    train_classifier,
)
from bertology.corpora import Example, Examples
from bertology.corpora.text import text_to_sentence

FILLERS = [f"f{i}" for i in range(20)]


def planted(count: int, seed: int, name: str) -> Examples:
    """Texts of 4 to 9 words, of which one, `good` or `bad`, decides the label."""
    generator = np.random.default_rng(seed)
    examples = []
    for number in range(count):
        words = list(generator.choice(FILLERS, size=generator.integers(3, 9)))
        label = int(generator.integers(2))
        words.insert(int(generator.integers(len(words) + 1)), ("bad", "good")[label])
        sentence = text_to_sentence(" ".join(words), id=f"{name} {number}")
        examples.append(Example(sentence, label=("negative", "positive")[label]))
    return Examples(name, tuple(examples), "0")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data() -> SimpleNamespace:
    return SimpleNamespace(train=planted(300, 0, "train"), evaluate=planted(80, 1, "evaluate"))


@pytest.fixture(scope="session")
def base(data: SimpleNamespace) -> SimpleNamespace:
    trained = train_classifier(data.train, epochs=6, seed=0)
    return SimpleNamespace(
        trained=trained,
        texts=data.evaluate.examples,
        instances=read_instances(trained, data.evaluate.examples),
        units=list(range(len(data.evaluate))),
    )


@pytest.fixture
def network() -> AttentionClassifier:
    """Two classes, states of width 2, logits equal to the mean state."""
    built = AttentionClassifier(5, 2, embedding=4, hidden=1)
    with torch.no_grad():
        built.output.weight.copy_(torch.eye(2))
        built.output.bias.zero_()
    return built.eval().requires_grad_(False)
