"""Vectors that add up to what a module reads, turned into vectors that add up to what it returns.

A sum of vectors passes through a linear map term by term. A layer norm subtracts from each term
its own mean and divides all by the standard deviation of the whole sum, which the original
forward pass fixes; a nonlinearity multiplies all by act(z)/z at the z of that pass.
"""

from typing import Any

import torch
from torch import Tensor


def without_bias(terms: Tensor, part: torch.nn.Linear) -> Tensor:
    """(…, in) to (…, out)."""
    return terms @ part.weight.detach().to(terms).T


def bias_of(part: Any) -> Tensor:
    """The bias of a linear map or norm, zeros where it has none: (out,)."""
    weight = part.weight.detach()
    bias = part.bias
    return (weight.new_zeros(len(weight)) if bias is None else bias.detach()).float()


def normalised(terms: Tensor, total: Tensor, norm: torch.nn.LayerNorm) -> Tensor:
    """The layer norm without its bias (Kobayashi et al. 2021).

    Args:
        terms: (…, term, hidden).
        total: (…, hidden), what the norm read in the forward pass.
    """
    deviation = (total.var(-1, unbiased=False) + norm.eps).sqrt()[..., None, None]
    centred = terms - terms.mean(-1, keepdim=True)
    return centred / deviation * norm.weight.detach().to(terms)


def slope(read: Tensor, returned: Tensor) -> Tensor:
    """act(z)/z of an elementwise nonlinearity with act(0) = 0; 0 where z is 0."""
    return torch.where(read == 0, 0.0, returned / read.where(read != 0, 1.0))


def share_bias(terms: Tensor, bias: Tensor) -> Tensor:
    """Terms with a bias shared out among them in proportion to |⟨term, bias⟩|.

    The `absdot` rule of DecompX (Modarressi et al. 2023); in equal parts where all products
    are 0.

    Args:
        terms: (…, term, out).
        bias: (out,).
    """
    weights = (terms @ bias.to(terms)).abs()
    totals = weights.sum(-1, keepdim=True)
    equal = torch.full_like(weights, 1 / weights.shape[-1])
    shares = torch.where(totals > 0, weights / totals.where(totals > 0, 1.0), equal)
    return terms + shares[..., None] * bias.to(terms)
