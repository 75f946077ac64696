"""Models that differ from another in a known way, and texts to compare them on."""

import copy
from dataclasses import replace

import numpy as np
import torch

from bertology.corpora import Corpus
from bertology.corpora.text import text_to_sentence
from bertology.models import LoadedModel


def random_texts(count: int, *, seed: int = 0) -> Corpus:
    """Texts of 4 to 8 of the words that the tiny tokenizer knows."""
    generator = np.random.default_rng(seed)
    sentences = []
    for number in range(count):
        words = [f"w{i}" for i in generator.integers(52, size=generator.integers(4, 9))]
        sentences.append(text_to_sentence(" ".join(words), id=f"s{number}"))
    return Corpus("random", tuple(sentences), "")


def with_permuted_heads(model: LoadedModel, order: list[int]) -> LoadedModel:
    """A copy of a BERT whose head h is head order[h] of the original, in every layer."""
    module = copy.deepcopy(model.module)
    for layer in module.encoder.layer:
        width = layer.attention.self.attention_head_size
        places = torch.cat([torch.arange(head * width, (head + 1) * width) for head in order])
        own = layer.attention.self
        with torch.no_grad():
            for part in (own.query, own.key, own.value):
                part.weight.copy_(part.weight[places])
                part.bias.copy_(part.bias[places])
            dense = layer.attention.output.dense
            dense.weight.copy_(dense.weight[:, places])
    return replace(model, name="permuted", module=module)


def with_even_attention(model: LoadedModel) -> LoadedModel:
    """A copy of a BERT whose queries are zero."""
    module = copy.deepcopy(model.module)
    for layer in module.encoder.layer:
        torch.nn.init.zeros_(layer.attention.self.query.weight)
        torch.nn.init.zeros_(layer.attention.self.query.bias)
    return replace(model, name="even", module=module)


def with_noise(model: LoadedModel, size: float, *, from_layer: int = 0) -> LoadedModel:
    """A copy of a BERT with noise on the weights of some blocks."""
    module = copy.deepcopy(model.module)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in module.encoder.layer[from_layer:]:
            for parameter in layer.parameters():
                parameter += size * torch.randn(parameter.shape, generator=generator)
    return replace(model, name="noisy", module=module)


def with_first_blocks(model: LoadedModel, blocks: int) -> LoadedModel:
    """A copy of a BERT that has its first blocks alone."""
    module = copy.deepcopy(model.module)
    module.encoder.layer = module.encoder.layer[:blocks]
    module.config.num_hidden_layers = blocks
    return replace(model, name="short", module=module)
