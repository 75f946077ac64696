"""Models and texts for the tests of attribution."""

from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace

import pytest
import torch

from bertology.corpora import Example, Examples
from bertology.corpora.text import text_to_sentence
from bertology.models import LoadedModel

#: What methods must agree on: name of the case, family and task.
CASES = {
    "demo": ("demo", "encoder"),
    "albert encoder": ("albert", "encoder"),
    "bert classifier": ("bert", "classification"),
    "roberta masked lm": ("roberta", "masked-lm"),
    "gpt2 lm": ("gpt2", "causal-lm"),
    "gpt2 classifier": ("gpt2", "classification"),
    "llama lm": ("llama", "causal-lm"),
    "llama classifier": ("llama", "classification"),
}
#: Words of several tokens, punctuation, and different lengths.
TINY_TEXTS = [
    "w1 w2.w3 w4 w5 w6 w7 w8 .",
    "w5 w6 w9",
    "w7 w8 w9 w10 w11 , w12 w13,w14 w15 w16",
    "w20 w21 w22 w23 w24 w25",
]
ENGLISH_TEXTS = [
    "The unbelievably old bakery opened today .",
    "Nobody came .",
]


def example(text: str, pair: str | None = None, label: str | None = None) -> Example:
    second = text_to_sentence(pair, id="pair") if pair else None
    return Example(text_to_sentence(text, id=text), second, label)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Models this small run faster on one core than they can be shared out."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def make_example() -> Callable[..., Example]:
    return example


@pytest.fixture(scope="session")
def make_examples() -> Callable[[Sequence[str]], Examples]:
    return lambda texts: Examples("texts", tuple(map(example, texts)), "0")


@pytest.fixture(scope="session")
def case_of(
    demo: LoadedModel, tiny_model: Callable[..., LoadedModel]
) -> Callable[[str], SimpleNamespace]:
    """The model of a case with examples it can read."""
    built: dict[str, SimpleNamespace] = {}

    def find(name: str) -> SimpleNamespace:
        if name not in built:
            family, task = CASES[name]
            model = demo if family == "demo" else tiny_model(family, task)
            texts = ENGLISH_TEXTS if family == "demo" else TINY_TEXTS
            built[name] = SimpleNamespace(model=model, examples=[example(t) for t in texts])
        return built[name]

    return find


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest, case_of: Callable[[str], SimpleNamespace]) -> object:
    return case_of(request.param)


class Toy(torch.nn.Module):
    """A function of word embeddings as a classifier of one class: ids in, (batch, 1) out."""

    def __init__(self, values: list[float], function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.words = torch.nn.Embedding.from_pretrained(torch.tensor(values).unsqueeze(1))
        self.function = function
        self.config = SimpleNamespace(id2label={0: "only"})

    def get_input_embeddings(self) -> torch.nn.Module:
        return self.words

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor]:
        embedded = self.words(input_ids).squeeze(-1)
        return (self.function(embedded, attention_mask).unsqueeze(1),)


@pytest.fixture
def toy(tiny_model: Callable[..., LoadedModel]) -> Callable[..., LoadedModel]:
    """A loaded model that computes a given function; the value of the word wN is N."""
    tokenizer = tiny_model("gpt2", "causal-lm").tokenizer
    values = [0.0] * 8 + [float(n) for n in range(52)]

    def build(function: Callable[..., torch.Tensor]) -> LoadedModel:
        return LoadedModel("toy", Toy(values, function), tokenizer, "classification")

    return build
