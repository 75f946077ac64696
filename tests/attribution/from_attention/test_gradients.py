"""Attention x gradient and relevancy."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bertology.attribution import AttributionError, measure
from bertology.attribution.from_attention import (
    GradientMaps,
    attention_x_gradient,
    gradient_maps,
    relevancy,
    relevancy_map,
)
from bertology.capture import Hook, collate, hooked

CASES = pytest.mark.parametrize(
    ("family", "task"),
    [("bert", "classification"), ("albert", "masked-lm"), ("gpt2", "causal-lm"),
     ("llama", "classification"), ("bert", "encoder")],
)  # fmt: skip


def edited(case: SimpleNamespace, edit: Callable[..., torch.Tensor]) -> float:
    """The target of the first text with other attention."""
    batch = collate(case.encodings[:1], case.model)
    with torch.no_grad(), hooked(case.module, Hook(edit_attention=edit)):
        return measure(case.model, batch, case.goals[:1]).item()


@CASES
def test_products_are_the_change_under_scaling(
    ready: Callable[..., SimpleNamespace], family: str, task: str
) -> None:
    """Σ α ∂f/∂α over a column is the slope of f as that column of every map is scaled."""
    case = ready(family, task)
    (own,) = gradient_maps(case.model, case.encodings[:1], case.goals[:1])
    (score,) = attention_x_gradient(case.model, case.encodings[:1], case.goals[:1], seed=0)
    step = 1e-2
    slopes = []
    for key in range(len(score)):

        def scaled(event, key=key, sign=1):
            changed = event.attention.clone()
            changed[..., key] *= 1 + sign * step
            return changed

        up = edited(case, scaled)
        down = edited(case, lambda event, key=key: scaled(event, key, -1))
        slopes.append((up - down) / (2 * step))
    np.testing.assert_allclose(score, slopes, atol=2e-2 * np.abs(slopes).max())
    np.testing.assert_allclose(score, own.product.sum((0, 1, 2)), rtol=1e-4, atol=1e-6)
    # In the last layer only what the target reads counts.
    if task == "classification" and family == "bert":
        assert not own.gradient[-1, :, 1:].any() and own.gradient[-1, :, 0].any()


def test_relevancy_of_one_layer_and_head() -> None:
    attention = np.array([[0.5, 0.5], [0.2, 0.8]])
    gradient = np.array([[1.0, -2.0], [3.0, 0.5]])
    maps = GradientMaps(attention[None, None], gradient[None, None])
    expected = np.eye(2) + np.array([[0.5, 0.0], [0.6, 0.4]])
    np.testing.assert_allclose(relevancy_map(maps), expected)


def test_relevancy_of_two_layers_multiplies_from_the_left() -> None:
    first, second = np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([[0.0, 0.0], [1.0, 0.0]])
    ones = np.ones((2, 1, 2, 2))
    maps = GradientMaps(np.stack([first, second])[:, None], ones)
    # R₁ = I + A₁; R₂ = R₁ + A₂ R₁.
    expected = np.eye(2) + first + second @ (np.eye(2) + first)
    np.testing.assert_allclose(relevancy_map(maps), expected)
    np.testing.assert_allclose(relevancy_map(maps, start_layer=1), np.eye(2) + second)
    swapped = GradientMaps(maps.attention[::-1], ones)
    assert np.abs(relevancy_map(swapped) - expected).max() > 0.5


def test_heads_are_averaged_after_negative_parts_are_cut() -> None:
    attention = np.ones((1, 2, 1, 1))
    maps = GradientMaps(attention, np.array([3.0, -1.0]).reshape(1, 2, 1, 1))
    np.testing.assert_allclose(relevancy_map(maps), [[1 + 1.5]])


def test_zero_gradients_leave_the_identity(ready: Callable[..., SimpleNamespace]) -> None:
    case = ready("bert", "classification", shared=False)
    gradient_maps(case.model, case.encodings[:1], case.goals[:1])  # proves the capture
    torch.nn.init.zeros_(case.module.classifier.weight)
    (own,) = gradient_maps(case.model, case.encodings[:1], case.goals[:1])
    np.testing.assert_array_equal(relevancy_map(own), np.eye(len(case.encodings[0])))


def test_maps_differ_by_class(ready: Callable[..., SimpleNamespace]) -> None:
    case = ready("bert", "classification")
    for start in (0, 2):
        found = [
            relevancy(
                case.model, case.encodings, [replace(goal, index=index) for goal in case.goals],
                seed=0, start_layer=start,
            )
            for index in (0, 1)
        ]  # fmt: skip
        for one, other in zip(*found, strict=True):
            assert np.abs(one - other)[1:].max() > 1e-3
    same = relevancy(case.model, case.encodings, case.goals, seed=0)
    last = relevancy(case.model, case.encodings, case.goals, seed=0, start_layer=2)
    assert np.abs(same[0] - last[0]).max() > 1e-3


def test_frozen_parameters_change_nothing(ready: Callable[..., SimpleNamespace]) -> None:
    case = ready("bert", "classification", shared=False)
    expected = attention_x_gradient(case.model, case.encodings, case.goals, seed=0)
    case.module.requires_grad_(False)
    found = attention_x_gradient(case.model, case.encodings, case.goals, seed=0)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_layer_that_does_not_exist_is_refused(ready: Callable[..., SimpleNamespace]) -> None:
    case = ready("bert", "classification")
    with pytest.raises(AttributionError, match="start_layer is 3; this model has layers 0 to 2"):
        relevancy(case.model, case.encodings, case.goals, seed=0, start_layer=3)
