"""Attention flow: worked examples, another solver, and the paths into it."""

import sys
from collections.abc import Callable
from types import SimpleNamespace

import networkx
import numpy as np
import pytest

from bertology.attribution import AttributionError
from bertology.attribution.from_attention import FLOW_TOKENS, attention_flow, flow
from bertology.capture import capture

FIRST = np.array([[0.5, 0.5], [0.2, 0.8]])
SECOND = np.array([[1.0, 0.0], [0.5, 0.5]])


def test_flow_of_the_worked_example() -> None:
    found = flow(np.stack([FIRST, SECOND]), np.array([0.0, 1.0]))
    np.testing.assert_allclose(found, [0.35, 1.0], atol=1e-8)
    np.testing.assert_allclose(found / found.sum(), [0.259, 0.741], atol=5e-4)
    swapped = flow(np.stack([SECOND, FIRST]), np.array([0.0, 1.0]))
    assert np.abs(swapped - found).max() > 0.01


def test_flow_of_identities_stays_where_it_is() -> None:
    identities = np.stack([np.eye(3)] * 4)
    np.testing.assert_array_equal(flow(identities, np.array([0.0, 1.0, 0.0])), [0, 1, 0])
    np.testing.assert_allclose(flow(identities, np.full(3, 1 / 3)), [1 / 3] * 3, atol=1e-8)


def test_flow_agrees_with_another_solver() -> None:
    generator = np.random.default_rng(0)
    maps = generator.dirichlet(np.full(4, 0.3), size=(3, 4))
    graph = networkx.DiGraph()
    for layer, mean in enumerate((maps + np.eye(4)) / 2):
        for query in range(4):
            for key in range(4):
                graph.add_edge((layer + 1, query), (layer, key), capacity=mean[query, key])
    for row in range(4):
        expected = [networkx.maximum_flow_value(graph, (3, row), (0, key)) for key in range(4)]
        np.testing.assert_allclose(flow(maps, np.eye(4)[row]), expected, atol=1e-7)


def test_flow_is_that_of_captured_maps(ready: Callable[..., SimpleNamespace]) -> None:
    case = ready("bert", "classification")
    scores = attention_flow(case.model, case.encodings, case.goals, seed=0)
    captured = capture(case.model, [encoding.sentence for encoding in case.encodings])
    for score, goal, found in zip(scores, case.goals, captured, strict=True):
        assert found.attention is not None
        maps = np.stack([layer.mean(0) for layer in found.attention])
        np.testing.assert_allclose(score, flow(maps, goal.rows), atol=1e-5)


def test_a_long_text_is_refused_before_any_work(
    ready: Callable[..., SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = ready("bert", "classification")
    monkeypatch.setattr(sys.modules[attention_flow.__module__], "FLOW_TOKENS", 6)
    with pytest.raises(AttributionError, match="2 of 3 texts have more than 6 tokens"):
        attention_flow(case.model, case.encodings, case.goals, seed=0)
    assert FLOW_TOKENS >= 64
