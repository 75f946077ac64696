"""Integrated gradients: complete, the same as captum's, and cheap where the path is smooth."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients

from bertology.attribution import Prepared, prepare
from bertology.attribution.methods.gradients import input_x_gradient
from bertology.attribution.methods.integrated import (
    BOUND,
    MOST,
    Completeness,
    completeness,
    integrate,
)
from bertology.attribution.methods.passes import counted_passes
from bertology.corpora import Example
from bertology.models import LoadedModel

ToyOf = Callable[..., LoadedModel]
Given = Callable[..., Any]
MakeExample = Callable[..., Example]

TEXTS = ["The old bakery opened early today .", "Nobody came ."]


@pytest.fixture(scope="module")
def prepared(demo: LoadedModel, make_example: MakeExample) -> Prepared:
    return prepare(demo, [make_example(text) for text in TEXTS])


@pytest.mark.parametrize("baseline", ["zero", "pad", "mask", "mean"])
def test_completeness_holds_for_every_baseline(
    demo: LoadedModel, prepared: Prepared, baseline: str
) -> None:
    found = integrate(demo, prepared.encodings, prepared.goals, baseline=baseline)
    checks = completeness(
        demo, prepared.encodings, prepared.goals, [own.scores for own in found], baseline=baseline
    )
    for own, check in zip(found, checks, strict=True):
        assert own.completeness.holds and check.holds
        assert check.relative_error <= BOUND
        assert own.completeness.difference == pytest.approx(check.difference, abs=1e-4)


def test_baseline_is_what_the_model_makes_of_those_embeddings(
    case_of: Callable[[str], SimpleNamespace],
) -> None:
    model = case_of("bert classifier").model
    texts = prepare(model, case_of("bert classifier").examples[:1])
    (own,) = integrate(model, texts.encodings, texts.goals, baseline="mask")
    ids = torch.full((1, len(texts.encodings[0])), model.tokenizer.mask_token_id)
    with torch.no_grad():
        value = model.module(ids).logits[0, texts.goals[0].index].item()
    assert own.completeness.difference == pytest.approx(texts.goals[0].value - value, abs=1e-5)


def test_captum_with_many_steps_finds_the_same(
    case_of: Callable[[str], SimpleNamespace],
) -> None:
    model = case_of("bert classifier").model
    texts = prepare(model, case_of("bert classifier").examples[:2])
    found = integrate(model, texts.encodings, texts.goals, bound=1e-4)
    for encoding, goal, own in zip(texts.encodings, texts.goals, found, strict=True):
        embeddings = model.module.get_input_embeddings()(torch.from_numpy(encoding.ids)[None])
        expected = IntegratedGradients(lambda x: model.module(inputs_embeds=x).logits).attribute(
            embeddings, torch.zeros_like(embeddings), target=goal.index, n_steps=300
        )
        expected = expected.sum(-1)[0].detach().numpy()
        np.testing.assert_allclose(own.scores, expected, atol=2e-3 * np.abs(expected).max())


def test_a_straight_path_needs_no_more_points_and_a_kink_is_sought_out(
    toy: ToyOf, given: Given
) -> None:
    linear = toy(lambda x, mask: (x * mask).sum(1))
    kinked = toy(lambda x, mask: torch.relu((x * mask).sum(1) - 11))
    for model, least, most in ((linear, 9, 9), (kinked, 11, 40)):
        texts = given(model, "w3 w1 w7 w5", "w9 w8")
        with counted_passes(model.module) as passes:
            found = integrate(model, *texts)
        assert all(own.completeness.holds for own in found)
        assert all(least <= own.steps <= most for own in found)
        steps = sum(own.steps for own in found)
        assert (passes.forward, passes.backward) == (steps, steps)
    # Equally many points everywhere would miss by as much as this many do.
    places = (np.arange(40) + 0.5) / 40
    even = np.mean(16 * places > 11) * 16
    assert abs(even - 5) / 5 > BOUND


def test_texts_that_hold_leave_and_the_others_stop_at_the_most(toy: ToyOf, given: Given) -> None:
    model = toy(lambda x, mask: torch.where(x[:, 0] > 6.5, torch.sign(x[:, 0] - 7.3), x[:, 0]))
    easy, jump = integrate(model, *given(model, "w3 w1", "w9 w1"), most=33)
    assert easy.steps == 9 and easy.completeness.holds
    # No gradient sees the jumps.
    assert jump.steps >= 33 and not jump.completeness.holds


@pytest.mark.parametrize("name", ["bert classifier", "roberta masked lm", "gpt2 lm", "llama lm"])
def test_points_are_added_until_the_bound_holds(
    case_of: Callable[[str], SimpleNamespace], name: str
) -> None:
    # Llama normalises word embeddings with nothing added to them: all happens next to zero.
    model = case_of(name).model
    texts = prepare(model, case_of(name).examples[:2])
    loose = integrate(model, texts.encodings, texts.goals, bound=0.05)
    tight = integrate(model, texts.encodings, texts.goals)
    for one, other in zip(loose, tight, strict=True):
        assert one.completeness.relative_error <= 0.05
        assert other.completeness.relative_error <= BOUND
        assert one.steps < other.steps < MOST


def test_completeness_sees_what_is_missing(demo: LoadedModel, prepared: Prepared) -> None:
    scores = input_x_gradient(demo, prepared.encodings, prepared.goals, seed=0)
    checks = completeness(demo, prepared.encodings, prepared.goals, scores)
    assert not any(check.holds for check in checks)


def test_completeness_is_relative_to_the_difference() -> None:
    check = Completeness(total=2.02, difference=2.0)
    assert check.error == pytest.approx(0.02) and check.relative_error == pytest.approx(0.01)
    assert Completeness(2.01, 2.0).holds and not Completeness(2.03, 2.0).holds
    assert Completeness(2.03, 2.0, bound=0.02).holds
    assert not Completeness(float("nan"), 2.0).holds
