"""Methods that draw: what they tend to, and what the draws hang on."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from bertology.attribution.methods.draws import random_scores
from bertology.attribution.methods.passes import counted_passes
from bertology.attribution.methods.sampled import gradient_shap, smoothgrad
from bertology.attribution.methods.surrogates import kernel_shap, lime
from bertology.models import LoadedModel

ToyOf = Callable[..., LoadedModel]
Given = Callable[..., Any]


def quadratic(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return x[:, 0] * x[:, 1] ** 2


def pair_and_one(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return x[:, 0] * x[:, 1] + x[:, 2]


def test_smoothgrad_adds_the_variance_of_the_noise_to_a_square(toy: ToyOf, given: Given) -> None:
    # The range of the embeddings is 1, and so is σ: E[∂f/∂x₀] = x₁² + σ² and E[∂f/∂x₁] = 2x₀x₁.
    model = toy(quadratic)
    texts = given(model, "w2 w3")
    (scores,) = smoothgrad(model, *texts, seed=0, samples=3000, noise=1.0)
    # Standard errors are 12.3 and 38.9 over √3000; the plain gradient gives 18 and 36.
    np.testing.assert_allclose(scores[0], 20, atol=4 * 12.3 / 3000**0.5)
    np.testing.assert_allclose(scores[1], 36, atol=4 * 38.9 / 3000**0.5)
    (still,) = smoothgrad(model, *texts, seed=0, samples=2, noise=0.0)
    np.testing.assert_allclose(still, [18, 36], rtol=1e-5)


def test_gradient_shap_with_one_baseline_tends_to_integrated_gradients(
    toy: ToyOf, given: Given
) -> None:
    model = toy(quadratic)
    texts = given(model, "w2 w3")
    (scores,) = gradient_shap(model, *texts, seed=0, samples=3000, baselines=["zero"])
    # (18 a², 36 a²) with a uniform: the standard deviation of a² is √(4/45).
    error = 4 * (4 / 45) ** 0.5 / 3000**0.5
    np.testing.assert_allclose(scores / [18, 36], [1 / 3, 1 / 3], atol=error)


def test_gradient_shap_averages_over_its_baselines(toy: ToyOf, given: Given) -> None:
    model = toy(lambda x, mask: (x * mask).sum(1))
    mean = 51 * 52 / 2 / 60
    texts = given(model, "w3 w1")
    (scores,) = gradient_shap(model, *texts, seed=0, samples=1000, baselines=["zero", "mean"])
    # A share s of the draws took the mean; both words say the same s, and it is near ½.
    shares = (np.array([3, 1]) - scores) / mean
    assert shares[0] == pytest.approx(shares[1], rel=1e-4)
    assert shares[0] == pytest.approx(0.5, abs=4 * 0.5 / 1000**0.5)


def test_kernel_shap_shares_an_interaction(toy: ToyOf, given: Given) -> None:
    model = toy(pair_and_one)
    texts = given(model, "w4 w6 w5")
    (scores,) = kernel_shap(model, *texts, seed=0, operator="pad")
    np.testing.assert_allclose(scores, [12, 12, 5], rtol=1e-4)


def test_kernel_shap_of_a_longer_text_is_right_on_average(toy: ToyOf, given: Given) -> None:
    model = toy(lambda x, mask: x[:, 0] * x[:, 1] + x[:, 2:].sum(1))
    texts = given(model, "w4 w6 w5 w1 w2 w3 w4 w5 w9")
    draws = np.array([
        kernel_shap(model, *texts, seed=seed, samples=100, operator="pad")[0] for seed in range(8)
    ])  # fmt: skip
    np.testing.assert_allclose(draws.sum(1), 24 + 29, rtol=1e-4)
    spread = draws.std(0, ddof=1)
    assert (spread > 0.01).all()
    assert (abs(draws.mean(0) - [12, 12, 5, 1, 2, 3, 4, 5, 9]) < 4 * spread / 8**0.5).all()


def test_lime_weighs_an_interaction_by_its_neighbourhood(toy: ToyOf, given: Given) -> None:
    # Against least squares over all eight sets of words, weighted by the kernel.
    kept = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)], float)
    value = 24 * kept[:, 0] * kept[:, 1] + 5 * kept[:, 2]
    cosine = np.sqrt(kept.sum(1) / 3)
    root = np.sqrt(np.exp(-((1 - cosine) ** 2) / 2))[:, None]
    design = np.column_stack([np.ones(8), kept])
    expected = np.linalg.lstsq(root * design, root[:, 0] * value, rcond=None)[0][1:]
    model = toy(pair_and_one)
    texts = given(model, "w4 w6 w5")
    (scores,) = lime(model, *texts, seed=0, samples=1500, operator="pad")
    np.testing.assert_allclose(scores, expected, rtol=0.1)


@pytest.mark.parametrize("method", [lime, kernel_shap])
def test_equal_samples_run_once(toy: ToyOf, given: Given, method: Any) -> None:
    model = toy(pair_and_one)
    texts = given(model, "w4 w6 w5")
    with counted_passes(model.module) as passes:
        method(model, *texts, seed=0, samples=200, operator="pad")
    assert (passes.forward, passes.backward) == (8, 0)


def test_the_callers_own_draws_are_left_alone(toy: ToyOf, given: Given) -> None:
    model = toy(pair_and_one)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    kernel_shap(model, *given(model, "w4 w6 w5"), seed=0, samples=20, operator="pad")
    assert torch.rand(1) == expected


def test_draws_hang_on_the_text_and_the_seed_alone(toy: ToyOf, given: Given) -> None:
    model = toy(pair_and_one)
    encodings, goals = given(model, "w4 w6 w5", "w1 w2 w3", "w4 w6 w5")
    first, other, again = random_scores(model, encodings, goals, seed=0)
    np.testing.assert_array_equal(first, again)
    assert not np.isin(other, first).any()
    assert not np.isin(random_scores(model, encodings, goals, seed=1)[0], first).any()
