"""Examples in the tiny models' vocabulary, and where each family keeps its output projection."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from bertology.corpora import Example, Examples
from bertology.corpora.text import text_to_sentence


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
