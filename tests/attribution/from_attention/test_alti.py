"""ALTI: worked examples, rows, and maps beside vectors taken by name."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bertology.attribution.from_attention import alti, alti_maps
from bertology.attribution.from_attention.alti import nearness
from bertology.attribution.from_attention.joining import join

from .by_name import terms_by_name


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [((1.0, 0.0), (0.5, -0.5), (0.5, 0.5)), ((2.0, 0.0), (-0.5, 0.5), (1.0, 0.0))],
)
def test_the_worked_examples(
    first: tuple[float, ...], second: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    terms = torch.tensor([first, second])
    near = nearness(terms.sum(0), terms)
    np.testing.assert_allclose((near / near.sum()).numpy(), expected)


def test_layers_are_joined_without_the_identity() -> None:
    first, second = np.array([[0.5, 0.5], [0.2, 0.8]]), np.array([[1.0, 0.0], [0.5, 0.5]])
    found = join(np.stack([3 * first, second]))
    np.testing.assert_allclose(found.joined, [[0.5, 0.5], [0.35, 0.65]])
    np.testing.assert_allclose(found.layers[0], first)
    assert found.identity_rows == 0
    other = join(np.stack([second, first])).joined
    np.testing.assert_allclose(other, [[0.75, 0.25], [0.6, 0.4]])


def test_rows_of_zeros_become_the_identity_and_are_counted() -> None:
    found = join(np.array([[[0.0, 0.0], [1.0, 3.0]], [[0.0, 0.0], [0.0, 0.0]]]))
    np.testing.assert_allclose(found.layers[0], [[1, 0], [0.25, 0.75]])
    np.testing.assert_allclose(found.layers[1], np.eye(2))
    assert found.identity_rows == 3


def test_maps_by_name(
    ready: Callable[..., SimpleNamespace], looked_at: Callable[..., dict]
) -> None:
    case = ready("bert", "classification")
    (own,) = alti_maps(case.model, case.encodings[:1])
    for layer in range(3):
        terms = terms_by_name(case, looked_at, layer)
        whole, parts = terms["normed"], terms["norm"]
        expected = np.zeros(parts.shape[:2])
        for i in range(len(whole)):
            for j in range(len(whole)):
                rest = np.abs(whole[i] - parts[i, j]).sum()
                expected[i, j] = max(0.0, np.abs(whole[i]).sum() - rest)
        expected /= expected.sum(1, keepdims=True)
        np.testing.assert_allclose(own.layers[layer], expected, atol=1e-5)
        # The distance is not the Euclidean one.
        rest = np.linalg.norm(whole[:, None] - parts, axis=-1)
        other = (np.linalg.norm(whole, axis=-1)[:, None] - rest).clip(0)
        assert np.abs(other / other.sum(1, keepdims=True) - expected).max() > 0.01
    (score,) = alti(case.model, case.encodings[:1], case.goals[:1], seed=0)
    layers = own.layers
    np.testing.assert_allclose(score, case.goals[0].rows @ layers[2] @ layers[1] @ layers[0])
    assert score.sum() == pytest.approx(1)
