"""Classifiers in which it is known which heads matter."""

from collections.abc import Callable

import pytest
import torch
import transformers

from bertology.capture import hooked
from bertology.models import LoadedModel


def silence(model: LoadedModel, kept: tuple[int, int] | None) -> LoadedModel:
    """Take away what every head but one adds to the residual stream."""
    with hooked(model.module):
        pass  # proves that edits act, which silent heads could not show
    width = model.module.config.hidden_size // model.module.config.num_attention_heads
    for layer, block in enumerate(model.module.bert.encoder.layer):
        weight = block.attention.output.dense.weight.data
        keep = torch.zeros(weight.shape[1], dtype=torch.bool)
        if kept is not None and kept[0] == layer:
            keep[kept[1] * width : (kept[1] + 1) * width] = True
        weight[:, ~keep] = 0
    return model


@pytest.fixture
def one_head(tiny_model: Callable[..., LoadedModel]) -> LoadedModel:
    """A classifier whose only attention head that is heard is L1H2."""
    return silence(tiny_model("bert", "classification"), (1, 2))


@pytest.fixture
def constant_values(tiny_model: Callable[..., LoadedModel]) -> LoadedModel:
    """A classifier whose value vectors are the same for every token."""
    model = tiny_model("bert", "classification")
    for block in model.module.bert.encoder.layer:
        block.attention.self.value.weight.data.zero_()
        block.attention.self.value.bias.data.normal_(generator=torch.Generator().manual_seed(0))
    return model


@pytest.fixture
def even_attention(tiny_model: Callable[..., LoadedModel]) -> LoadedModel:
    """A classifier that attends to all tokens alike."""
    model = tiny_model("bert", "classification")
    for block in model.module.bert.encoder.layer:
        block.attention.self.query.weight.data.zero_()
        block.attention.self.query.bias.data.zero_()
    return model


@pytest.fixture
def one_reader(tiny_model: Callable[..., LoadedModel]) -> LoadedModel:
    """A classifier of one layer with one head, which attends to w5 and reads nothing else.

    Its values are zero but for w5, so that the output tells how much weight w5 has; where w5 is
    attended to as it is, the classes are equally likely, and a little less tips the scale.
    """
    config = transformers.BertConfig(
        vocab_size=60, hidden_size=32, num_hidden_layers=1, num_attention_heads=1,
        intermediate_size=8, max_position_embeddings=40,
    )  # fmt: skip
    torch.manual_seed(0)
    module = transformers.BertForSequenceClassification(config).eval()
    model = LoadedModel("reader", module, tiny_model("bert").tokenizer, "classification")
    with hooked(module):
        pass  # proves that edits act, which a silent head could not show
    bert = module.bert
    for part in (bert.embeddings.position_embeddings, bert.embeddings.token_type_embeddings):
        part.weight.data.zero_()
    torch.nn.init.normal_(bert.embeddings.word_embeddings.weight)
    words = [2, 3, *range(8, 18)]  # the specials and w0 … w9
    states = bert.embeddings.LayerNorm(bert.embeddings.word_embeddings.weight[words]).detach()
    # A direction that picks w5 out: 1 on its state, 0 on the others.
    picks = torch.linalg.pinv(states) @ torch.eye(len(words))[words.index(13)]
    layer = bert.encoder.layer[0]
    own = layer.attention.self
    for part in (own.query, own.key, own.value, layer.attention.output.dense, layer.output.dense):
        part.weight.data.zero_()
        part.bias.data.zero_()
    own.query.bias.data[0] = 6 * 32**0.5
    own.key.weight.data[0] = picks
    own.value.weight.data[0] = 6 * picks
    # The more of w5 a state has, the closer it lies to this direction, and the classes read that.
    direction = torch.randn(32)
    direction = (direction - direction.mean()) / direction.std()
    layer.attention.output.dense.weight.data[:, 0] = direction / 6
    module.bert.pooler.dense.weight.data = 0.1 * torch.eye(32)
    module.classifier.weight.data = 20 * torch.stack([-direction, direction])
    batch = model.tokenizer(["w1 w5 w2 w3"], return_tensors="pt")
    with torch.no_grad():
        module.classifier.bias.data -= module(**batch).logits[0]
    return model
