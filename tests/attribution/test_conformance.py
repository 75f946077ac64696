"""What every method must do, on every kind of model."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from bertology.attribution import (
    AttributionError,
    attention_scores,
    input_x_gradient,
    integrated_gradients,
    leave_one_out,
    leave_one_token_out,
    prepare,
)


def read_attention(
    model: Any, encodings: Sequence[Any], goals: Sequence[Any], *, seed: int
) -> list[np.ndarray]:
    return [
        np.concatenate([own.attention.ravel(), own.rollout])
        for own in attention_scores(model, encodings, goals)
    ]


METHODS: list[Callable[..., list[np.ndarray]]] = [
    input_x_gradient,
    integrated_gradients,
    leave_one_out,
    leave_one_token_out,
    read_attention,
]


@pytest.fixture(params=METHODS, ids=lambda method: method.__name__)
def method(request: pytest.FixtureRequest) -> Any:
    return request.param


def state(module: Any) -> list[Any]:
    """Everything a method could leave behind in a model."""
    return [
        (len(part._forward_hooks), len(part._forward_pre_hooks), part.training)
        for part in module.modules()
    ] + [module.config._attn_implementation, [p.grad for p in module.parameters()]]


def test_scores_fit_the_tokens_and_a_batch_equals_singles(
    case: SimpleNamespace, method: Any
) -> None:
    prepared = prepare(case.model, case.examples)
    before = state(case.model.module)
    together = method(case.model, prepared.encodings, prepared.goals, seed=0)
    assert state(case.model.module) == before
    for encoding, goal, score in zip(prepared.encodings, prepared.goals, together, strict=True):
        assert score.dtype == np.float64
        assert np.isfinite(score).all() and score.any()
        if method is not read_attention:
            assert score.shape == (len(encoding),)
        (alone,) = method(case.model, [encoding], [goal], seed=0)
        scale = max(abs(goal.value), np.abs(score).max())
        # Single-precision rounding, which the path of integrated gradients amplifies where it
        # nears a norm of zero vectors (Llama).
        rounding = 5e-5 if method is integrated_gradients else 1e-5
        np.testing.assert_allclose(score, alone, rtol=0, atol=rounding * scale)


def test_the_same_text_may_come_with_two_goals(
    case_of: Callable[[str], SimpleNamespace], method: Any
) -> None:
    case = case_of("bert classifier")
    (encoding,) = prepare(case.model, case.examples[:1]).encodings
    goals = [
        prepare(case.model, case.examples[:1], target=name).goals[0]
        for name in ("LABEL_0", "LABEL_1")
    ]
    first, second = method(case.model, [encoding, encoding], goals, seed=0)
    if method is read_attention:
        np.testing.assert_allclose(first, second, atol=1e-6)
    else:
        assert not np.allclose(first, second)


def test_hooks_are_gone_after_an_exception(
    case_of: Callable[[str], SimpleNamespace], method: Any
) -> None:
    case = case_of("gpt2 lm")
    prepared = prepare(case.model, case.examples)
    read_attention(case.model, prepared.encodings, prepared.goals, seed=0)

    def fail(*_: object) -> None:
        raise ArithmeticError("stop")

    handle = list(case.model.module.modules())[-1].register_forward_hook(fail)
    before = state(case.model.module)
    with pytest.raises(ArithmeticError):
        method(case.model, prepared.encodings, prepared.goals, seed=0)
    assert state(case.model.module) == before
    handle.remove()


def test_dropout_is_off_and_the_mode_kept(
    case_of: Callable[[str], SimpleNamespace], method: Any
) -> None:
    case = case_of("bert classifier")
    prepared = prepare(case.model, case.examples[:2])
    expected = method(case.model, prepared.encodings, prepared.goals, seed=0)
    case.model.module.train()
    try:
        scores = method(case.model, prepared.encodings, prepared.goals, seed=0)
        assert case.model.module.training
    finally:
        case.model.module.eval()
    for one, other in zip(scores, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5 * np.abs(other).max())


def test_gradients_under_no_grad(case_of: Callable[[str], SimpleNamespace], method: Any) -> None:
    case = case_of("bert classifier")
    prepared = prepare(case.model, case.examples[:1])
    (expected,) = method(case.model, prepared.encodings, prepared.goals, seed=0)
    with torch.no_grad():
        prepare(case.model, case.examples[:1])
        (score,) = method(case.model, prepared.encodings, prepared.goals, seed=0)
    np.testing.assert_array_equal(score, expected)


def test_goals_must_match_encodings(
    case_of: Callable[[str], SimpleNamespace],
) -> None:
    case = case_of("bert classifier")
    prepared = prepare(case.model, case.examples)
    with pytest.raises(AttributionError, match="one goal each"):
        input_x_gradient(case.model, prepared.encodings, prepared.goals[:1], seed=0)
