"""Examples in the tiny models' vocabulary, output projections by family, a hand-made model."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from bertology.ablation.packed import Sweep
from bertology.ablation.switches import Switches
from bertology.attribution.goals import of_outputs
from bertology.corpora import Example, Examples
from bertology.corpora.text import text_to_sentence

#: The coordinate of the last hidden state that heads write into.
WRITTEN = 31
#: One that does not reach the target.
UNREAD = 30
#: Id of the word w0.
FIRST = 8


@pytest.fixture(scope="session")
def random_examples() -> Callable[..., Examples]:
    """Random texts of 3 to 12 words, optionally with labels that repeat and with documents."""

    def make(
        count: int, labels: tuple[str | None, ...] = (None,), document_size: int = 0
    ) -> Examples:
        generator = np.random.default_rng(7)
        examples = []
        for number in range(count):
            words = generator.integers(0, 52, generator.integers(3, 13))
            document = f"d{number // document_size}" if document_size else None
            sentence = text_to_sentence(
                " ".join(f"w{word}" for word in words), id=f"s{number}", document=document
            )
            examples.append(Example(sentence, label=labels[number % len(labels)]))
        return Examples("random", tuple(examples), "0" * 64)

    return make


@pytest.fixture(scope="session")
def output_slice() -> Callable[[Any, str, int, int], torch.Tensor]:
    """A view of the part of W_O that reads one head (8 wide), to be changed in place."""

    def find(module: Any, family: str, layer: int, head: int) -> torch.Tensor:
        place = slice(8 * head, 8 * head + 8)
        if family == "gpt2":
            return module.transformer.h[layer].attn.c_proj.weight.data[place]
        if family == "llama":
            return module.model.layers[layer].self_attn.o_proj.weight.data[:, place]
        return module.base_model.encoder.layer[layer].attention.output.dense.weight.data[:, place]

    return find


def silence(block: Any) -> None:
    """A GPT-2 block that adds nothing, with identities for norms."""
    block.ln_1 = block.ln_2 = torch.nn.Identity()
    for part in (block.attn.c_attn, block.attn.c_proj, block.mlp.c_proj):
        part.weight.data.zero_()
        part.bias.data.zero_()


@pytest.fixture
def additive(tiny_model: Callable[..., Any]) -> Any:
    """GPT-2 without norms, in whose last layer every token attends to itself alone.

    There heads 0, 1 and 2 add 1, b and c to one coordinate, b and c being features of the word:
    w0 has (2, 3), w1 (2, −3), w2 (−2, 3) and w3 (−2, −3). Head 3 of each layer writes into a
    coordinate that nobody reads; all other heads add nothing.
    """
    model = tiny_model("gpt2", "encoder")
    module = model.module
    for block in module.h:
        silence(block)
    module.ln_f = torch.nn.Identity()
    words, places = module.wte.weight.data, module.wpe.weight.data
    words.zero_()
    places.zero_()
    places[:8, :8] = torch.eye(8)
    for number, (b, c) in enumerate([(2, 3), (2, -3), (-2, 3), (-2, -3)]):
        words[FIRST + number, 8:11] = torch.tensor([1.0, b, c])
    for block in module.h:
        block.attn.c_attn.weight.data[:8, 88] = 1
        block.attn.c_proj.weight.data[24, UNREAD] = 1
    attention = module.h[2].attn
    for head in range(3):
        first = 8 * head
        attention.c_attn.weight.data[:8, first : first + 8] = 30 * torch.eye(8)
        attention.c_attn.weight.data[:8, 32 + first : 40 + first] = 30 * torch.eye(8)
        attention.c_attn.weight.data[8 + head, 64 + first] = 1
        attention.c_proj.weight.data[first, WRITTEN] = 1
    return model


@pytest.fixture(scope="session")
def texts() -> Callable[..., Examples]:
    """Examples of the given texts."""

    def make(*given: str, labels: tuple[str | None, ...] = ()) -> Examples:
        sentences = [text_to_sentence(text, id=f"s{n}") for n, text in enumerate(given)]
        rows = zip(sentences, labels or [None] * len(given), strict=True)
        return Examples("texts", tuple(Example(one, label=own) for one, own in rows), "0" * 64)

    return make


@pytest.fixture(scope="session")
def sweep_scores() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Targets of the texts of one batch, (text,) intact and (stand-in, part, text) without parts.

    `restarts` says where passes are taken up: `Restarts([])` runs all of them whole.
    """

    def find(
        model: Any,
        batch: Any,
        goals: list[Any],
        parts: list[Any],
        stand_ins: Any,
        restarts: Any,
        most: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        switches = Switches(model.module, parts)
        sweep = Sweep(model, parts, switches, restarts, most)

        def read(outputs: Any, packed: Any, copies: int) -> np.ndarray:
            return of_outputs(model, outputs, packed, goals * copies)[:, None].numpy()

        with switches.attached():
            base, ablated = sweep.run(batch, read, stand_ins)
        return base[:, 0], ablated[..., 0]

    return find
