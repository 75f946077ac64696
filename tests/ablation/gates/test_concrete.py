"""The hard concrete distribution: its formulas, and that draws follow them."""

import math

import pytest
import torch
from scipy.special import expit

from bertology.ablation.gates import concrete, open_probability, sample_gates

LOG_ALPHA = torch.tensor([-5.0, 0.0, 5.0], dtype=torch.float64)


def test_known_values():
    torch.testing.assert_close(
        open_probability(LOG_ALPHA), torch.tensor([0.015, 0.688, 0.997]).double(), atol=5e-4, rtol=0
    )
    assert concrete.deterministic_gate(LOG_ALPHA).tolist() == pytest.approx([0, 0.5, 1], abs=1e-15)


def test_the_gradient_of_the_expected_norm_is_p_times_one_minus_p():
    log_alpha = torch.linspace(-4, 4, 9, dtype=torch.float64, requires_grad=True)
    p = open_probability(log_alpha)
    (gradient,) = torch.autograd.grad(p.sum(), log_alpha)
    torch.testing.assert_close(gradient, (p * (1 - p)).detach())


@pytest.mark.parametrize("value", [-2.0, 0.0, 1.5])
def test_draws_are_open_and_closed_as_often_as_the_formulas_say(value):
    count = 40_000
    draws = sample_gates(torch.tensor([value]), count, torch.Generator().manual_seed(0))
    assert draws.shape == (count, 1)
    # Closed: s ≤ 1/12; wholly open: s ≥ 11/12, for s the sigmoid of noise (equation 10).
    for share, at in (((draws > 0), 1 / 12), ((draws == 1), 11 / 12)):
        expected = expit(value - concrete.BETA * math.log(at / (1 - at)))
        error = math.sqrt(expected * (1 - expected) / count)
        assert abs(share.double().mean().item() - expected) < 4 * error
    assert open_probability(torch.tensor(value)).item() == pytest.approx(
        expit(value - concrete.BETA * math.log(0.1 / 1.1))
    )


def test_draws_are_independent_repeatable_and_differentiable():
    log_alpha = torch.zeros(2, 3, requires_grad=True)
    first, again = (sample_gates(log_alpha, 5, torch.Generator().manual_seed(4)) for _ in range(2))
    assert first.shape == (5, 2, 3) and torch.equal(first, again)
    assert len(first.flatten().unique()) > 5
    (gradient,) = torch.autograd.grad(first.sum(), log_alpha)
    between = ((first > 0) & (first < 1)).any(0)
    assert (gradient[between] > 0).all() and (gradient[~between] == 0).all()
