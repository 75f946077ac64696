"""Relevance propagation: the rules by hand, and where relevance goes in whole models."""

import math
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from bertology.attribution import prepare
from bertology.attribution.methods.gradients import input_x_gradient
from bertology.attribution.methods.relevance import attn_lrp, conservation, cp_lrp
from bertology.attribution.methods.relevance_rules import Rules
from bertology.errors import AttributionError
from bertology.models import LoadedModel

ToyOf = Callable[..., LoadedModel]
Given = Callable[..., Any]


def relevance(
    function: Callable[[Tensor], Tensor],
    x: list[float],
    *,
    epsilon: float = 0.0,
    module: Any = None,
    constant_attention: bool = False,
) -> np.ndarray:
    """Gradient × input of a function under the rules."""
    leaf = torch.tensor(x, requires_grad=True)
    rules = Rules(module or nn.Identity(), epsilon, constant_attention=constant_attention)
    with rules:
        (gradient,) = torch.autograd.grad(function(leaf), leaf)
    return (leaf.detach() * gradient).numpy()


def test_softmax_rule_is_its_gradient_times_input() -> None:
    x, above = [1.0, 2.0, 0.5], torch.tensor([0.2, 0.5, 0.3])

    def function(leaf: Tensor) -> Tensor:
        weights = torch.softmax(leaf, 0)
        return (weights * (above / weights).detach()).sum()

    found = relevance(function, x)
    shares = np.exp(x) / np.exp(x).sum()
    np.testing.assert_allclose(found, np.array(x) * (above.numpy() - shares), rtol=1e-5)
    np.testing.assert_allclose(found, [-0.0312, -0.2571, 0.0799], atol=5e-5)


@pytest.mark.parametrize("x", [[3.0, 1.0], [1.0, 3.0]], ids=["positive", "negative"])
def test_epsilon_takes_its_part_with_the_sign_of_the_output(x: list[float]) -> None:
    weight, bias, epsilon = torch.tensor([[1.0, -2.0]]), torch.tensor([0.5]), 0.25
    found = relevance(lambda leaf: functional.linear(leaf, weight, bias).sum(), x, epsilon=epsilon)
    z = x[0] - 2 * x[1] + 0.5
    np.testing.assert_allclose(found, np.array([x[0], -2 * x[1]]) * abs(z) / (abs(z) + epsilon))


def test_a_nonlinearity_passes_all_of_its_output_on() -> None:
    expected = functional.gelu(torch.tensor(1.5)).item() * np.array([2.0, -0.5]) / 1.5
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "function": lambda leaf: functional.gelu(leaf.sum()),
        "module": nn.GELU(),
    }
    found = relevance(functions["function"], [2.0, -0.5])
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    # A module that is written out in Python is met by a hook on it.
    from transformers.activations import NewGELUActivation

    written_out = NewGELUActivation()
    found = relevance(lambda leaf: written_out(leaf.sum()), [2.0, -0.5], module=written_out)
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    assert not written_out._forward_hooks


def test_products_of_activations_are_split_and_products_with_weights_are_not() -> None:
    np.testing.assert_allclose(relevance(lambda x: x[0] * x[1], [2.0, 3.0]), [3, 3])
    np.testing.assert_allclose(relevance(lambda x: (x * 5).sum(), [2.0, 3.0]), [10, 15])
    product = relevance(
        lambda x: torch.matmul(x[None, :2], x[2:, None]).sum(), [2.0, 3.0, 4.0, 5.0]
    )
    np.testing.assert_allclose(product, [4, 7.5, 4, 7.5])


def test_norms_divide_by_a_constant() -> None:
    x, above = np.array([1.0, 4.0, -2.0]), torch.tensor([0.3, -1.0, 2.0])
    layer_norm = relevance(
        lambda leaf: (functional.layer_norm(leaf, (3,)) * above).sum(), x.tolist()
    )
    centred = above.numpy() - above.numpy().mean()
    np.testing.assert_allclose(layer_norm, x * centred / math.sqrt(x.var() + 1e-5), rtol=1e-5)
    expected = x * above.numpy() / math.sqrt((x**2).mean())
    torch_own = relevance(
        lambda leaf: (functional.rms_norm(leaf, (3,), eps=0.0) * above).sum(), x.tolist()
    )
    np.testing.assert_allclose(torch_own, expected, rtol=1e-5)
    by_root = relevance(
        lambda leaf: (leaf * torch.rsqrt(leaf.pow(2).mean()) * above).sum(), x.tolist()
    )
    np.testing.assert_allclose(by_root, expected, rtol=1e-5)


def test_attention_gives_half_to_values_and_a_quarter_to_queries_and_keys() -> None:
    query, key, value = torch.randn(3, 1, 1, 4, 5, generator=torch.Generator().manual_seed(0))

    def parts(constant_attention: bool, attend: Callable[..., Tensor]) -> list[float]:
        leaves = [part.clone().requires_grad_() for part in (query, key, value)]
        with Rules(nn.Identity(), 0.0, constant_attention=constant_attention):
            total = attend(*leaves).sum()
            gradients = torch.autograd.grad(total, leaves, allow_unused=True)
        return [0.0 if g is None else (leaf * g).sum().item()
                for leaf, g in zip(leaves, gradients, strict=True)]  # fmt: skip

    fused = functional.scaled_dot_product_attention
    total = fused(query, key, value).sum().item()
    scores = (query @ key.mT / math.sqrt(5)).requires_grad_()
    (gradient,) = torch.autograd.grad((torch.softmax(scores, -1) @ value).sum(), scores)
    through_softmax = (scores * gradient).sum().item()
    expected = [through_softmax / 4, through_softmax / 4, total / 2]
    np.testing.assert_allclose(parts(False, fused), expected, rtol=1e-4)
    np.testing.assert_allclose(parts(True, fused), [0, 0, total], atol=1e-5)


@pytest.mark.parametrize("options", [{"is_causal": True}, {"scale": 0.3}, {"attn_mask": True}])
def test_attention_taken_apart_is_torchs_own(options: dict[str, Any]) -> None:
    query, key, value = torch.randn(3, 2, 4, 6, 5, generator=torch.Generator().manual_seed(0))
    if "attn_mask" in options:
        options = {"attn_mask": torch.ones(6, 6, dtype=torch.bool).tril(1), "enable_gqa": True}
        key, value = key[:, :2], value[:, :2]
    expected = functional.scaled_dot_product_attention(query, key, value, **options)
    with Rules(nn.Identity(), 0.0, constant_attention=False):
        found = functional.scaled_dot_product_attention(
            query.requires_grad_(), key, value, **options
        )
    torch.testing.assert_close(found, expected)


class Layers(nn.Module):
    """A bag of words and a hidden layer without biases."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Linear(1, 16, bias=False), nn.ReLU(), nn.Linear(16, 1, bias=False)
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return (self.layers(x.unsqueeze(-1)).squeeze(-1) * mask).sum(1)


@pytest.mark.parametrize("method", [attn_lrp, cp_lrp])
def test_relu_layers_without_bias_give_gradient_times_input(
    toy: ToyOf, given: Given, method: Any
) -> None:
    model = toy(Layers())
    encodings, goals = given(model, "w5 w2 w9", "w1 w3")
    expected = input_x_gradient(model, encodings, goals, seed=0)
    for score, other, goal in zip(
        method(model, encodings, goals, seed=0, epsilon=1e-9), expected, goals, strict=True
    ):
        np.testing.assert_allclose(score, other, rtol=1e-5)
        assert score.sum() == pytest.approx(goal.value, rel=1e-5)
    (large, _) = method(model, encodings, goals, seed=0, epsilon=1.0)
    assert abs(large.sum()) < 0.9 * abs(goals[0].value)


@pytest.mark.parametrize("constant_attention", [False, True], ids=["AttnLRP", "CP-LRP"])
@pytest.mark.parametrize("epsilon", [1e-6, 0.1])
def test_relevance_is_conserved(
    case: SimpleNamespace, epsilon: float, constant_attention: bool
) -> None:
    prepared = prepare(case.model, case.examples[:2])
    for own in conservation(
        case.model,
        prepared.encodings,
        prepared.goals,
        epsilon=epsilon,
        constant_attention=constant_attention,
    ):
        assert own.lost < 1e-5
        if constant_attention and epsilon == 1e-6:
            assert abs(own.absorbed) < 1e-3 * (abs(own.words) + abs(own.others))


def test_words_get_all_relevance_where_nothing_else_is_added(
    case_of: Callable[[str], SimpleNamespace],
) -> None:
    # Llama has no biases and no position embeddings.
    case = case_of("llama lm")
    prepared = prepare(case.model, case.examples)
    for goal, score in zip(
        prepared.goals, cp_lrp(case.model, prepared.encodings, prepared.goals, seed=0), strict=True
    ):
        assert score.sum() == pytest.approx(goal.value, rel=1e-4)


@pytest.mark.parametrize("method", [attn_lrp, cp_lrp])
def test_eager_attention_gives_what_fused_attention_gives(
    case_of: Callable[[str], SimpleNamespace], method: Any
) -> None:
    case = case_of("bert classifier")
    prepared = prepare(case.model, case.examples)
    config = case.model.module.config
    assert config._attn_implementation == "sdpa"
    expected = method(case.model, prepared.encodings, prepared.goals, seed=0)
    try:
        config._attn_implementation = "eager"
        found = method(case.model, prepared.encodings, prepared.goals, seed=0)
    finally:
        config._attn_implementation = "sdpa"
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_what_has_no_rule_is_refused(toy: ToyOf, given: Given) -> None:
    def by_einsum(x: Tensor, mask: Tensor) -> Tensor:
        return torch.einsum("bi,bi->b", x, x)

    for function in (by_einsum, lambda x, mask: (x**2).sum(1)):
        model = toy(function)
        with pytest.raises(AttributionError, match="AttnLRP does not conserve relevance in toy"):
            attn_lrp(model, *given(model, "w2 w3"), seed=0)
    model = toy(lambda x, mask: (x * x).sum(1))
    (scores,) = attn_lrp(model, *given(model, "w2 w3"), seed=0)
    np.testing.assert_allclose(scores, [4, 9], rtol=1e-5)


def test_a_probability_is_refused(case_of: Callable[[str], SimpleNamespace]) -> None:
    case = case_of("bert classifier")
    prepared = prepare(case.model, case.examples)
    goals = [replace(goal, quantity="probability") for goal in prepared.goals]
    with pytest.raises(AttributionError, match="targets must be logits"):
        attn_lrp(case.model, prepared.encodings, goals, seed=0)


def test_parameters_need_gradients_as_before(case_of: Callable[[str], SimpleNamespace]) -> None:
    case = case_of("gpt2 lm")
    prepared = prepare(case.model, case.examples)
    first = next(case.model.module.parameters())
    first.requires_grad_(False)
    try:
        before = [p.requires_grad for p in case.model.module.parameters()]
        attn_lrp(case.model, prepared.encodings, prepared.goals, seed=0)
        assert [p.requires_grad for p in case.model.module.parameters()] == before
    finally:
        first.requires_grad_()
