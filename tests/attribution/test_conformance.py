"""What every method must do, on every kind of model."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from bertology.attribution import AttributionError, Goal, attention_scores, prepare
from bertology.attribution.methods import METHODS, unusable
from bertology.capture import collate
from bertology.corpora import encode
from bertology.corpora.text import text_to_sentence
from bertology.models import LoadedModel

#: The module; the package has a function of that name.
STREAM = import_module("bertology.capture.stream")
CaseOf = Callable[[str], SimpleNamespace]

#: Fewer draws and points than by default: what is tested here does not hang on how many.
OPTIONS: dict[str, dict[str, Any]] = {
    "integrated_gradients": {"most": 17},
    "smoothgrad": {"samples": 4},
    "gradient_shap": {"samples": 4},
    "lime": {"samples": 20},
    "kernel_shap": {"samples": 20},
}
#: DeepLIFT refuses transformers (see test_deeplift.py).
RUN_ON_TRANSFORMERS = [name for name in METHODS if name != "deeplift"]


def read_attention(
    model: Any, encodings: Sequence[Any], goals: Sequence[Any], *, seed: int
) -> list[np.ndarray]:
    return [
        np.concatenate([own.attention.ravel(), own.rollout])
        for own in attention_scores(model, encodings, goals)
    ]


def method_of(name: str) -> Callable[..., list[np.ndarray]]:
    if name == "attention":
        return read_attention
    return partial(METHODS[name].run, **OPTIONS.get(name, {}))


@pytest.fixture(params=[*RUN_ON_TRANSFORMERS, "attention"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def method(name: str) -> Callable[..., list[np.ndarray]]:
    return method_of(name)


def state(module: Any) -> list[Any]:
    """Everything a method could leave behind in a model."""
    return [
        (len(p._forward_hooks), len(p._forward_pre_hooks), len(p._backward_hooks), p.training)
        for p in module.modules()
    ] + [
        module.config._attn_implementation,
        [(p.grad, p.requires_grad) for p in module.parameters()],
    ]


def close(name: str, score: np.ndarray, other: np.ndarray, goal: Goal) -> None:
    """Equal but for single-precision rounding, which two kinds of method amplify: the path of
    integrated gradients where it nears a norm of zero vectors (Llama), and quotients of relevance
    by activations near zero."""
    scale = max(abs(goal.value), np.abs(other).max())
    amplified = name in ("integrated_gradients", "gradient_shap", "attn_lrp", "cp_lrp")
    np.testing.assert_allclose(score, other, rtol=0, atol=(1e-4 if amplified else 1e-5) * scale)


def test_scores_fit_the_tokens_and_a_batch_equals_singles(
    case: SimpleNamespace, name: str, method: Any
) -> None:
    prepared = prepare(case.model, case.examples)
    before = state(case.model.module)
    weights = sum(p.double().sum().item() for p in case.model.module.parameters())
    together = method(case.model, prepared.encodings, prepared.goals, seed=0)
    assert state(case.model.module) == before
    assert sum(p.double().sum().item() for p in case.model.module.parameters()) == weights
    for number, (encoding, goal, score) in enumerate(
        zip(prepared.encodings, prepared.goals, together, strict=True)
    ):
        assert score.dtype == np.float64
        assert unusable(score) is None
        if name != "attention":
            assert score.shape == (len(encoding),)
            assert METHODS[name].signed or (score >= 0).all()
            if not METHODS[name].gradient:
                assert not score[~goal.scored].any()
        if number == 1:  # the shortest, so that it was padded
            (alone,) = method(case.model, [encoding], [goal], seed=0)
            close(name, score, alone, goal)


# BERT classifiers read their first row, which is padding when that is on the left.
@pytest.mark.parametrize("case_name", ["roberta masked lm", "gpt2 lm"])
def test_padding_on_the_left_equals_padding_on_the_right(
    case_of: CaseOf, case_name: str, name: str, method: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = case_of(case_name)
    prepared = prepare(case.model, case.examples)
    right = method(case.model, prepared.encodings, prepared.goals, seed=0)
    widths = []

    def on_the_left(encodings: Any, model: Any) -> Any:
        batch = collate(encodings, model, side="left")
        widths.append(int((batch.mask == 0).sum()))
        return batch

    monkeypatch.setattr(STREAM, "collate", on_the_left)
    left = method(case.model, prepared.encodings, prepared.goals, seed=0)
    assert name == "random" or sum(widths) > 0
    for one, other, goal in zip(left, right, prepared.goals, strict=True):
        close(name, one, other, goal)


@pytest.mark.parametrize("operator", ["delete", "mask", "pad", "hide"])
@pytest.mark.parametrize("case_name", ["albert encoder", "roberta masked lm", "gpt2 lm"])
def test_operators_do_not_hang_on_the_batch_or_the_side_of_padding(
    case_of: CaseOf, case_name: str, operator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = case_of(case_name)
    run = partial(METHODS["leave_one_out"].run, case.model, seed=0, operator=operator)
    prepared = prepare(case.model, case.examples)
    if operator == "mask" and case.model.tokenizer.mask_token_id is None:
        with pytest.raises(AttributionError, match="no mask token"):
            run(prepared.encodings, prepared.goals)
        return
    right = run(prepared.encodings, prepared.goals)
    alone = [run([e], [g])[0] for e, g in zip(prepared.encodings, prepared.goals, strict=True)]
    monkeypatch.setattr(STREAM, "collate", partial(collate, side="left"))
    # Positions are given with padding on the left; RoBERTa takes them from the ids, where a
    # padding token is none.
    left = right if operator == "pad" else run(prepared.encodings, prepared.goals)
    for three in zip(right, alone, left, prepared.goals, strict=True):
        close("leave_one_out", three[0], three[1], three[3])
        close("leave_one_out", three[2], three[1], three[3])


def test_the_seed_decides_where_there_are_draws(case_of: CaseOf, name: str, method: Any) -> None:
    case = case_of("bert classifier")
    prepared = prepare(case.model, case.examples[2:3])
    first, again, other = (
        method(case.model, prepared.encodings, prepared.goals, seed=seed)[0] for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.array_equal(first, other) != (name != "attention" and METHODS[name].stochastic)


@pytest.mark.parametrize("case_name", ["bert classifier", "gpt2 lm", "llama lm"])
def test_weights_in_half_precision(case_of: CaseOf, case_name: str, name: str, method: Any) -> None:
    case = case_of(case_name)
    model = replace(case.model, module=deepcopy(case.model.module).to(torch.bfloat16))
    prepared = prepare(model, case.examples[:2])
    for encoding, score in zip(
        prepared.encodings,
        method(model, prepared.encodings, prepared.goals, seed=0),
        strict=True,
    ):
        assert np.isfinite(score).all() and score.any()
        assert name == "attention" or score.shape == (len(encoding),)


def test_the_same_text_may_come_with_two_goals(case_of: CaseOf, name: str, method: Any) -> None:
    case = case_of("bert classifier")
    (encoding,) = prepare(case.model, case.examples[:1]).encodings
    goals = [
        prepare(case.model, case.examples[:1], target=target).goals[0]
        for target in ("LABEL_0", "LABEL_1")
    ]
    first, second = method(case.model, [encoding, encoding], goals, seed=0)
    # Attention and chance do not know the goal.
    assert np.allclose(first, second, atol=1e-6) == (name in ("attention", "random"))


def test_hooks_are_gone_after_an_exception(case_of: CaseOf, name: str, method: Any) -> None:
    if name == "random":
        pytest.skip("the model is not run")
    case = case_of("gpt2 lm")
    prepared = prepare(case.model, case.examples)
    read_attention(case.model, prepared.encodings, prepared.goals, seed=0)

    def fail(*_: object) -> None:
        raise ArithmeticError("stop")

    handle = list(case.model.module.modules())[-1].register_forward_hook(fail)
    before = state(case.model.module)
    with pytest.raises(ArithmeticError):
        method(case.model, prepared.encodings, prepared.goals, seed=0)
    try:
        assert state(case.model.module) == before
    finally:
        handle.remove()


def test_dropout_is_off_and_the_mode_kept(case_of: CaseOf, name: str, method: Any) -> None:
    case = case_of("bert classifier")
    prepared = prepare(case.model, case.examples[:2])
    expected = method(case.model, prepared.encodings, prepared.goals, seed=0)
    case.model.module.train()
    try:
        scores = method(case.model, prepared.encodings, prepared.goals, seed=0)
        assert case.model.module.training
    finally:
        case.model.module.eval()
    for one, other, goal in zip(scores, expected, prepared.goals, strict=True):
        close(name, one, other, goal)


def test_gradients_under_no_grad(case_of: CaseOf, method: Any) -> None:
    case = case_of("bert classifier")
    prepared = prepare(case.model, case.examples[:1])
    (expected,) = method(case.model, prepared.encodings, prepared.goals, seed=0)
    with torch.no_grad():
        prepare(case.model, case.examples[:1])
        (score,) = method(case.model, prepared.encodings, prepared.goals, seed=0)
    np.testing.assert_array_equal(score, expected)


@pytest.mark.parametrize("name", METHODS)
def test_no_texts_give_no_scores(demo: LoadedModel, name: str) -> None:
    assert METHODS[name].run(demo, [], [], seed=0) == []


@pytest.mark.parametrize("name", sorted(METHODS.keys() - {"random"}))
def test_a_constant_target_gives_zeros_and_says_so(
    toy: Callable[..., LoadedModel], name: str
) -> None:
    model = toy(lambda x, mask: (x * 0).sum(1))
    encoding = encode(text_to_sentence("w3 w1 w7", id="constant"), model.tokenizer)
    goal = Goal("class", "only", 0.0, np.zeros(3), encoding.words >= 0, index=0)
    (scores,) = METHODS[name].run(model, [encoding], [goal], seed=0)
    np.testing.assert_array_equal(scores, np.zeros(3))
    assert "its gradient is zero" in str(unusable(scores))
    assert unusable(np.array([0.0, np.nan])) == "a score is not finite"
    assert unusable(np.array([0.0, -1.0])) is None


@pytest.mark.parametrize("name", sorted(METHODS.keys() - {"random", "deeplift"}))
def test_goals_must_match_encodings(case_of: CaseOf, name: str) -> None:
    case = case_of("bert classifier")
    prepared = prepare(case.model, case.examples)
    with pytest.raises((AttributionError, ValueError), match=r"one goal each|zip\(\)"):
        METHODS[name].run(case.model, prepared.encodings, prepared.goals[:1], seed=0)
