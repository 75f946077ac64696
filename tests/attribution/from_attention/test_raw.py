"""Attention scores and rollout."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bertology.attribution import AttributionError, attention_scores, prepare, rollout
from bertology.capture import capture


def test_rollout_of_the_worked_example() -> None:
    first = torch.tensor([[0.5, 0.5], [0.2, 0.8]])
    second = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    expected = torch.tensor([[0.75, 0.25], [0.2625, 0.7375]])
    torch.testing.assert_close(rollout([first, second]), expected)
    wrong = torch.tensor([[0.8125, 0.1875], [0.325, 0.675]])
    torch.testing.assert_close(rollout([second, first]), wrong)


def test_rollout_of_identities_is_the_identity() -> None:
    torch.testing.assert_close(rollout([torch.eye(4)] * 3), torch.eye(4))


def test_rollout_of_nothing_is_refused() -> None:
    with pytest.raises(AttributionError, match="no layer"):
        rollout([])


def test_scores_are_the_captured_rows(case: SimpleNamespace) -> None:
    prepared = prepare(case.model, case.examples)
    scores = attention_scores(case.model, prepared.encodings, prepared.goals)
    if case.model.task == "masked-lm":
        return  # the captured text would have no mask in it
    sentences = [encoding.sentence for encoding in prepared.encodings]
    captured = capture(case.model, sentences)
    for own, goal, found in zip(scores, prepared.goals, captured, strict=True):
        maps = found.attention
        assert maps is not None
        expected = np.einsum("q,lhqk->lhk", goal.rows, maps).reshape(own.attention.shape)
        np.testing.assert_allclose(own.attention, expected, atol=1e-6)
        np.testing.assert_allclose(own.attention.sum(1), 1, atol=1e-5)
        np.testing.assert_allclose(own.mean, expected.mean(0), atol=1e-6)
        columns = maps.mean(2).reshape(own.columns.shape)
        np.testing.assert_allclose(own.columns, columns, atol=1e-6)
        last = np.einsum("q,hqk->hk", goal.rows, maps[-1]).mean(0)
        np.testing.assert_allclose(own.last, last, atol=1e-6)
        rolled = rollout([torch.from_numpy(layer.mean(0)) for layer in maps])
        np.testing.assert_allclose(own.rollout, goal.rows @ rolled.numpy(), atol=1e-6)
        assert own.rollout.sum() == pytest.approx(1, abs=1e-5)


def test_heads_are_numbered_within_layers(case_of: Callable[[str], SimpleNamespace]) -> None:
    case = case_of("bert classifier")
    prepared = prepare(case.model, case.examples[:1])
    (own,) = attention_scores(case.model, prepared.encodings, prepared.goals)
    assert own.layers.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert own.heads.tolist() == [0, 1, 2, 3] * 3
