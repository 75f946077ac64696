"""A classifier whose heads carry what they are told to: two behaviours, apart or together."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from bertology.corpora import Example, Examples
from bertology.corpora.text import text_to_sentence
from bertology.models import LoadedModel

WIDTH, FIRST_WORD = 2, 8
#: Words of each kind: what carries behaviour a or b, for and against, and words that say nothing.
KINDS = {"a+": range(10), "a-": range(10, 20), "b+": range(20, 30), "b-": range(30, 40)}
FILLERS = range(40, 52)


def carrying(heads: int, readers: dict[int, str], tokenizer: Any) -> LoadedModel:
    """One layer of BERT in which the named heads pass on the kinds of word they are given.

    Attention is even. A kind is a pair of dimensions of a word, +1 and −1 or the reverse; a
    reader writes their difference into a pair of its own, which the classifier adds up. All other
    heads write next to nothing.

    Args:
        readers: for each head the kinds it reads, `a`, `b` or `ab`.
    """
    hidden = heads * WIDTH
    config = transformers.BertConfig(
        vocab_size=60, hidden_size=hidden, num_hidden_layers=1, num_attention_heads=heads,
        intermediate_size=8, max_position_embeddings=40, num_labels=2,
    )  # fmt: skip
    torch.manual_seed(0)
    module = transformers.BertForSequenceClassification(config).eval()
    bert, layer = module.bert, module.bert.encoder.layer[0]
    for parameter in module.parameters():
        if parameter.dim() > 1:
            torch.nn.init.zeros_(parameter)
    words = bert.embeddings.word_embeddings.weight.data
    words[:, 12:] = torch.randn(60, hidden - 12)
    for kind, members in KINDS.items():
        place, sign = 2 * "ab".index(kind[0]), 1.0 if kind[1] == "+" else -1.0
        for word in members:
            words[FIRST_WORD + word, place], words[FIRST_WORD + word, place + 1] = sign, -sign
    attention = layer.attention
    values, written = attention.self.value.weight.data, attention.output.dense.weight.data
    torch.nn.init.normal_(values, std=0.02)
    torch.nn.init.normal_(written, std=0.02)
    for head, kinds in readers.items():
        own = slice(head * WIDTH, (head + 1) * WIDTH)
        values[own], written[:, own] = 0, 0
        for kind in kinds:
            place = 2 * "ab".index(kind)
            values[head * WIDTH, place], values[head * WIDTH, place + 1] = 1.0, -1.0
        written[4, head * WIDTH], written[5, head * WIDTH] = 20.0, -20.0
    bert.pooler.dense.weight.data[0, 4:6] = torch.tensor([1.0, -1.0])
    module.classifier.weight.data[:, 0] = torch.tensor([-5.0, 5.0])
    return LoadedModel("handmade", module, tokenizer, "classification")


@pytest.fixture(scope="session")
def handmade(tokenizer_of: Callable[..., Any]) -> Callable[..., LoadedModel]:
    return lambda heads, readers: carrying(heads, readers, tokenizer_of())


@pytest.fixture(scope="session")
def texts_of() -> Callable[..., Examples]:
    """Texts with one word of the kind a or b among five that say nothing; its sign is the label."""

    def make(kind: str, count: int = 60) -> Examples:
        draw = np.random.default_rng(ord(kind))
        examples = []
        for number in range(count):
            sign = "+-"[number % 2]
            words = [*draw.choice(FILLERS, 5), draw.choice(KINDS[kind + sign])]
            text = " ".join(f"w{word}" for word in draw.permutation(words))
            label = f"LABEL_{int(sign == '+')}"
            examples.append(Example(text_to_sentence(text, id=f"{kind}{number}"), label=label))
        return Examples(f"texts {kind}", tuple(examples), kind * 64)

    return make
