"""How far two distributions lie apart, over the last axis."""

import torch
from torch import Tensor


def total_variation(first: Tensor, second: Tensor) -> Tensor:
    """½ Σ |p − q| over the last axis, from 0 to 1."""
    return (first - second).abs().sum(-1) / 2


def jensen_shannon(first: Tensor, second: Tensor) -> Tensor:
    """Jensen–Shannon divergence over the last axis, in nats: from 0 to ln 2."""
    middle = (first + second) / 2
    return (_entropy_terms(first, middle) + _entropy_terms(second, middle)).sum(-1) / 2


def _entropy_terms(own: Tensor, middle: Tensor) -> Tensor:
    # xlogy gives 0 where the weight is 0, with a gradient that stays finite.
    safe = middle.clamp(min=torch.finfo(middle.dtype).tiny)
    return torch.xlogy(own, own.clamp(min=torch.finfo(own.dtype).tiny)) - torch.xlogy(own, safe)


def kullback_leibler(first: Tensor, second: Tensor) -> Tensor:
    """KL(first ‖ second) over the last axis, in nats; weights of 0 count nothing."""
    floor = torch.finfo(first.dtype).tiny
    return (torch.xlogy(first, first.clamp(min=floor))
            - torch.xlogy(first, second.clamp(min=1e-12))).sum(-1)  # fmt: skip
