"""Infidelity of functions whose change is known, and against captum's."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from captum.metrics import infidelity as captum_infidelity
from captum.metrics import infidelity_perturb_func_decorator

from bertology.attribution import AttributionError
from bertology.attribution.faithfulness import PERTURBATIONS, infidelity
from bertology.models import LoadedModel

Make = Callable[..., SimpleNamespace]
VALUES = np.array([3, 10, 1, 8, 5, 2, 9, 4])


def run(case: SimpleNamespace, **options: object) -> pd.DataFrame:
    table = infidelity(  # type: ignore[misc]
        case.model, case.prepared, case.scores, case.units, seed=0, **options
    )
    return table.set_index(["operator", "score"])["mean"]


@pytest.mark.parametrize("perturbation", list(PERTURBATIONS))
def test_a_linear_function_is_foretold_by_its_weights(
    toy: Callable[..., LoadedModel], make_case: Make, perturbation: str
) -> None:
    case = make_case(
        toy(lambda x, mask: (2 * x * mask).sum(1)), [VALUES], [2 * VALUES.sum()],
        # Input times gradient, three times that, and the gradient alone.
        leave_one_out=lambda x: 2 * x, rollout=lambda x: 6 * x,
        attention_mean=lambda x: 2 * np.ones_like(x), attention_last=np.zeros_like,
    )  # fmt: skip
    found = run(case)[perturbation]
    assert found["leave_one_out"] == pytest.approx(0, abs=1e-6)
    assert found["rollout"] > 1 and found["attention_mean"] > 1 and found["random"] > 1
    # Three times too large is off by twice the change; no score at all is off by the change.
    assert found["rollout"] == pytest.approx(4 * found["attention_last"], rel=1e-4)
    scaled = run(case, scale=True)[perturbation]
    assert scaled["rollout"] == pytest.approx(0, abs=1e-6)
    assert 0 < scaled["attention_mean"] < found["attention_mean"]


def function(x: torch.Tensor) -> torch.Tensor:
    return x[:, 0] * x[:, 1] + x[:, 2] ** 2 - x[:, 3:].sum(1)


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("perturbation", list(PERTURBATIONS))
def test_equals_captum_told_that_inputs_are_multiplied_in(
    toy: Callable[..., LoadedModel], make_case: Make, perturbation: str, scale: bool
) -> None:
    inputs = torch.tensor(VALUES, dtype=torch.double)[None].requires_grad_()
    (gradient,) = torch.autograd.grad(function(inputs).sum(), inputs)
    product = (inputs * gradient).detach()
    case = make_case(
        toy(lambda x, mask: function(x)), [VALUES], [function(inputs).item()],
        leave_one_out=lambda x: product[0].numpy(),
    )  # fmt: skip
    draws = 30
    taken = PERTURBATIONS[perturbation](np.random.default_rng([0, 0]), (draws, len(VALUES)))

    def captums(multiply_by_inputs: bool) -> float:
        @infidelity_perturb_func_decorator(multiply_by_inputs=multiply_by_inputs)
        def perturb(given: torch.Tensor) -> torch.Tensor:
            return given * (1 - torch.from_numpy(taken))

        found = captum_infidelity(
            function, perturb, inputs.detach(), product, n_perturb_samples=draws, normalize=scale
        )
        return float(found)

    found = run(case, draws=draws, scale=scale)[perturbation]["leave_one_out"]
    assert found == pytest.approx(captums(True), rel=1e-4)
    assert found != pytest.approx(captums(False), rel=0.01)


def test_bad_options_are_refused(planted: SimpleNamespace) -> None:
    with pytest.raises(AttributionError, match="perturbation is 'dropout'; give some of erasure"):
        run(planted, perturbations=["dropout"])
    with pytest.raises(AttributionError, match="draws is 0"):
        run(planted, draws=0)
