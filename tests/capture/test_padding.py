"""Texts of models that read padding meet only texts of their own length."""

import numpy as np
import pytest
import torch
import transformers

from bertology.capture import capture
from bertology.capture.batch import plan
from bertology.capture.padding import ignores_padding
from bertology.models import LoadedModel

TEXTS = ["w1 w2 w3 . w4 w5 w6", "w5 w6", "w7 w8 w9 w10"]
SIZES = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
         "intermediate_size": 48, "max_position_embeddings": 64}  # fmt: skip


def test_lengths_are_mixed_only_where_asked() -> None:
    lengths = [3, 5, 3, 4, 5, 3]
    assert plan(lengths, 12) == [[0, 2, 5], [3, 1], [4]]
    assert plan(lengths, 12, mix_lengths=False) == [[0, 2, 5], [3], [1, 4]]


@pytest.mark.parametrize("family", ["bert", "roberta", "albert", "gpt2", "llama"])
def test_ordinary_models_ignore_padding(family: str, tiny_model) -> None:
    assert ignores_padding(tiny_model(family).module)


def test_a_batch_equals_singles_also_where_padding_is_read(tokenizer_of) -> None:
    torch.manual_seed(0)
    module = transformers.ConvBertModel(transformers.ConvBertConfig(**SIZES)).eval()
    for parameter in module.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.35)
    model = LoadedModel("tiny convbert", module, tokenizer_of(), "encoder")
    assert not ignores_padding(module)
    for found, text in zip(capture(model, TEXTS), TEXTS, strict=True):
        alone = capture(model, text)[0]
        assert np.abs(found.attention - alone.attention).max() < 1e-5
