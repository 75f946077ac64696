"""Classifiers in which it is known which heads matter."""

from collections.abc import Callable

import pytest
import torch

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
