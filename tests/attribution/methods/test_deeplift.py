"""DeepLIFT: exact, or refused."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from bertology.attribution import prepare
from bertology.attribution.methods.deeplift import deeplift
from bertology.errors import AttributionError
from bertology.models import LoadedModel

ToyOf = Callable[..., LoadedModel]
Given = Callable[..., Any]


class Hinge(torch.nn.Module):
    """relu(x₀ − x₁ − 1)."""

    def __init__(self, relu: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.relu = relu

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.relu(x[:, 0] - x[:, 1] - 1)


class Layers(torch.nn.Module):
    """A bag of words and two hidden layers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(1, 16), torch.nn.ReLU(), torch.nn.Linear(16, 16), torch.nn.ReLU(),
            torch.nn.Linear(16, 1),
        )  # fmt: skip

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return (self.layers((x.unsqueeze(-1) - 3) / 2).squeeze(-1) * mask).sum(1)


def test_rescale_rule_by_hand(toy: ToyOf, given: Given) -> None:
    # The hinge goes from −1 to 2 and its output from 0 to 2, so that the multiplier is 2/3.
    model = toy(Hinge(torch.nn.ReLU()))
    (scores,) = deeplift(model, *given(model, "w5 w2"), seed=0)
    np.testing.assert_allclose(scores, [10 / 3, -4 / 3], rtol=1e-5)


def test_scores_of_relu_layers_add_up_on_texts_of_different_length(
    toy: ToyOf, given: Given
) -> None:
    model = toy(Layers())
    encodings, goals = given(model, "w5 w2 w9", "w1", "w4 w4 w8 w2 w7")
    origin = Layers()(torch.zeros(1, 1), torch.ones(1, 1)).item()
    scores = deeplift(model, encodings, goals, seed=0)
    for score, goal in zip(scores, goals, strict=True):
        assert score.any()
        assert score.sum() == pytest.approx(goal.value - len(score) * origin, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize(
    "function",
    [Hinge(torch.relu), Hinge(torch.nn.GELU()), lambda x, mask: x[:, 0] * x[:, 1]],
    ids=["relu that is no module", "gelu", "product"],
)
def test_functions_without_a_rule_are_refused(toy: ToyOf, given: Given, function: Any) -> None:
    model = toy(function)
    with pytest.raises(AttributionError, match="DeepLIFT is not exact for toy"):
        deeplift(model, *given(model, "w5 w2"), seed=0)


def test_transformers_are_refused_and_left_as_they_were(case: SimpleNamespace) -> None:
    prepared = prepare(case.model, case.examples[:2])
    before = [len(p._forward_hooks) + len(p._forward_pre_hooks) + len(p._backward_hooks)
              for p in case.model.module.modules()]  # fmt: skip
    with pytest.raises(AttributionError, match="softmax attention"):
        deeplift(case.model, prepared.encodings, prepared.goals, seed=0)
    assert before == [len(p._forward_hooks) + len(p._forward_pre_hooks) + len(p._backward_hooks)
                      for p in case.model.module.modules()]  # fmt: skip
