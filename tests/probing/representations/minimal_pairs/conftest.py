"""Language models whose probabilities are known, for the tests of minimal pairs."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bertology.corpora import MinimalPair, MinimalPairs
from bertology.models import LoadedModel


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Models this small run faster on one core than they can be shared out."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Bigrams(torch.nn.Module):
    """A causal model that knows the token before, and nothing else."""

    def __init__(self, log_probabilities: torch.Tensor) -> None:
        super().__init__()
        self.table = torch.nn.Embedding.from_pretrained(log_probabilities)
        self.config = SimpleNamespace(vocab_size=len(log_probabilities))

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.table(input_ids),)


@pytest.fixture(scope="session")
def bigrams(tokenizer_of: Callable[..., object]) -> Callable[..., LoadedModel]:
    """A causal model from the probabilities (token, next token) of the 60 tokens."""

    def build(probabilities: np.ndarray) -> LoadedModel:
        table = torch.tensor(np.log(probabilities), dtype=torch.float32)
        return LoadedModel("bigrams", Bigrams(table), tokenizer_of("$A"), "causal-lm")

    return build


@pytest.fixture(scope="session")
def make_pairs() -> Callable[..., MinimalPairs]:
    """Pairs of one paradigm and phenomenon from (good, bad)."""

    def build(
        sentences: list[tuple[str, str]], paradigm: str = "p", phenomenon: str = "f"
    ) -> MinimalPairs:
        pairs = (
            MinimalPair(good, bad, paradigm, phenomenon, id=str(i))
            for i, (good, bad) in enumerate(sentences)
        )
        return MinimalPairs("made up", tuple(pairs), "0")

    return build
