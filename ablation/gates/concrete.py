"""The hard concrete distribution (Louizos, Welling and Kingma 2018, section 2.2).

A gate is 0 or 1 with probabilities above zero, and what is between can be differentiated: a
sigmoid of noise and log α is stretched beyond 0 and 1 and cut off there. The constants are those
of Voita et al. 2019 and of the earlier paper's experiments but for β (there: 2/3).
"""

import math

import torch
from torch import Tensor

LOW, HIGH = -0.1, 1.1
BETA = 0.33
_SHIFT = BETA * math.log(-LOW / HIGH)


def open_probability(log_alpha: Tensor) -> Tensor:
    """P(gate > 0) = σ(log α − β ln(0.1 / 1.1)): the gate's share of the expected L0 norm."""
    return torch.sigmoid(log_alpha - _SHIFT)


def deterministic_gate(log_alpha: Tensor) -> Tensor:
    """The gate at test time, without noise: σ(log α), stretched and cut off (equation 13)."""
    return _stretched(torch.sigmoid(log_alpha))


def sample_gates(log_alpha: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` independent draws of every gate: (count, …), differentiable by log α."""
    shape = count, *log_alpha.shape
    uniform = torch.rand(shape, generator=generator, device=log_alpha.device)
    # The logit of 0 or 1 would be infinite.
    noise = uniform.clamp(1e-6, 1 - 1e-6).logit()
    return _stretched(torch.sigmoid((noise + log_alpha) / BETA))


def _stretched(values: Tensor) -> Tensor:
    return (values * (HIGH - LOW) + LOW).clamp(0, 1)
