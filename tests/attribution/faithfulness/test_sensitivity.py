"""Sensitivity of methods on functions whose gradient is known, and against captum's."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from captum.metrics import sensitivity_max

from bertology.attribution import AttributionError, input_x_gradient, leave_one_out, prepare
from bertology.attribution.embeddings import word_embeddings
from bertology.attribution.faithfulness import sensitivity
from bertology.attribution.faithfulness.sensitivity import noisy_embeddings
from bertology.attribution.methods.gradients import gradient_norm
from bertology.models import LoadedModel

Make = Callable[..., SimpleNamespace]
VALUES = np.array([3, 10, 1, 8, 5, 2, 9, 4])


def run(case: SimpleNamespace, **options: Any) -> pd.Series:
    table = sensitivity(case.model, case.prepared, units=case.units, seed=0, **options)
    assert set(table["operator"]) == {"noise"}
    return table.set_index(["score", "metric"])["mean"]


def moves(case: SimpleNamespace, draws: int, radius: float = 0.02) -> np.ndarray:
    """(draw, token): how far the embeddings of the first text are moved."""
    ids = torch.from_numpy(case.prepared.encodings[0].ids)
    words = word_embeddings(case.model.module)
    intact = words(ids)
    found = []
    for draw in range(draws):
        with noisy_embeddings(case.model, case.prepared, radius, [0, draw]):
            found.append((words(ids) - intact).squeeze(-1).detach().double().numpy())
    assert torch.equal(words(ids), intact)
    return np.stack(found)


def test_the_weights_of_a_linear_function_do_not_move(
    toy: Callable[..., LoadedModel], make_case: Make
) -> None:
    case = make_case(toy(lambda x, mask: (2 * x * mask).sum(1)), [VALUES], [2.0 * VALUES.sum()])
    methods = {"weights": gradient_norm, "product": input_x_gradient, "left": leave_one_out}
    found = run(case, methods=methods)
    assert found[("weights", "sensitivity_max")] == pytest.approx(0, abs=1e-6)
    # The product moves as far as the input does, times the weight; so does leaving a word out,
    # whose intact value is that of the moved input.
    expected = 2 * np.linalg.norm(moves(case, 10), axis=1).max()
    for name in ("product", "left"):
        assert found[(name, "sensitivity_max")] == pytest.approx(expected, rel=1e-3)
        size = np.linalg.norm(2 * VALUES)
        assert found[(name, "sensitivity_max_relative")] == pytest.approx(expected / size, rel=1e-3)


def test_relative_equals_captums(toy: Callable[..., LoadedModel], make_case: Make) -> None:
    case = make_case(toy(lambda x, mask: (x**2).sum(1)), [VALUES], [(VALUES**2.0).sum()])
    found = run(case, methods={"product": input_x_gradient}, draws=5)
    shifts = torch.from_numpy(moves(case, 5))

    def perturb(inputs: tuple[torch.Tensor, ...], radius: float) -> tuple[torch.Tensor, ...]:
        return (inputs[0] + shifts,)

    def product(inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (2 * inputs[0] ** 2,)

    inputs = torch.tensor(VALUES, dtype=torch.double)[None]
    captums = sensitivity_max(product, inputs, perturb, n_perturb_samples=5)
    assert found[("product", "sensitivity_max_relative")] == pytest.approx(captums.item(), rel=1e-3)
    size = np.linalg.norm(2 * VALUES**2)
    assert found[("product", "sensitivity_max")] == pytest.approx(captums.item() * size, rel=1e-3)


def test_noise_stays_within_the_radius_and_equal_words_move_alike(
    toy: Callable[..., LoadedModel], make_case: Make
) -> None:
    case = make_case(toy(lambda x, mask: x.sum(1)), [np.array([4, 9, 4, 7])], [24.0])
    found = moves(case, 50, radius=0.5)
    assert 0.45 < np.abs(found).max() <= 0.5
    np.testing.assert_array_equal(found[:, 0], found[:, 2])
    assert np.abs(found[:, 0] - found[:, 1]).min() > 0


def test_hooks_go_after_a_failure_and_bad_options_are_refused(
    case_of: Callable[[str], SimpleNamespace],
) -> None:
    case = case_of("bert classifier")
    prepared = prepare(case.model, case.examples[:1])
    hooks = word_embeddings(case.model.module)._forward_hooks

    def fail(model: Any, encodings: Sequence[Any], goals: Any, *, seed: int) -> list[np.ndarray]:
        if hooks:
            raise RuntimeError("planted")
        return [np.zeros(len(encoding)) for encoding in encodings]

    with pytest.raises(RuntimeError, match="planted"):
        sensitivity(case.model, prepared, {"fail": fail}, [0], seed=0)
    assert not hooks
    for options in ({"radius": 0.0}, {"draws": 0}):
        with pytest.raises(AttributionError, match="at least one method"):
            sensitivity(case.model, prepared, {"norm": gradient_norm}, [0], seed=0, **options)
