"""The statistics and predictions of the `heads` job as a careful script would write them.

Needs torch alone, and shares no code with bertology: what both compute has to agree.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

#: The order of the last axis of `statistics`, that of `heads.csv`.
STATISTICS = (
    "entropy",
    "entropy_normalised",
    "max",
    "previous",
    "self",
    "next",
    "first",
    "distance",
    "cls",
    "sep",
    "punctuation",
)
#: Stands for 0 under a logarithm whose result is multiplied by 0.
TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class Tokens:
    """What the statistics need to know of a batch; made once, used for every layer."""

    weights: Tensor
    """(batch, query), 1 / length for tokens and 0 for padding: a weighted sum is a mean."""
    normalised: Tensor
    """(batch, query), the same over the logarithm of the number of keys to choose from."""
    gaps: Tensor
    """(query, key), distance in tokens."""
    columns: Tensor
    """(batch, key, 4): first token, cls, sep, punctuation."""
    belongs: Tensor | None = None
    """(batch, token, word), 1 where the token belongs to the word."""
    parts: Tensor | None = None
    """The same over the number of the word's tokens."""
    places: Tensor | None = None
    """(batch, token), 1 + the index of the token's word, 0 where it has none."""


def describe(
    mask: Tensor, choices: Tensor, columns: Tensor, words: Tensor | None = None
) -> Tokens:  # fmt: skip
    """Lay out a batch.

    Args:
        mask: (batch, token), 1 for tokens.
        choices: (batch, query), the number of keys each query sees.
        columns: (batch, token, 4).
        words: (batch, token), the index of each token's word, -1 where it has none.
    """
    weights = mask.float() / mask.sum(1, keepdim=True)
    logarithm = choices.float().clamp(min=2).log()
    places = torch.arange(mask.shape[1], device=mask.device)
    belongs = None if words is None else torch.nn.functional.one_hot(words + 1)[..., 1:].float()
    return Tokens(
        weights=weights,
        normalised=torch.where(choices > 1, weights / logarithm, 0.0),
        gaps=(places[:, None] - places).abs().float(),
        columns=columns.float(),
        belongs=belongs,
        parts=None if belongs is None else belongs / belongs.sum(1, keepdim=True).clamp(min=1),
        places=None if words is None else words + 1,
    )


def statistics(attention: Tensor, tokens: Tokens) -> Tensor:
    """Mean over the tokens of each statistic: (batch, head, statistic).

    Args:
        attention: (batch, head, query, key).
    """
    attention = attention.float()
    weights = tokens.weights[:, None]  # (batch, 1, query)
    # Faster than `torch.special.entr`, whose logarithm is not vectorised on a CPU.
    entropy = -attention.clamp(min=TINY).log_().mul_(attention).sum(-1)
    both = torch.stack([tokens.weights, tokens.normalised], dim=-1)
    entropies = entropy @ both
    largest = (attention.amax(-1) * weights).sum(-1)
    previous = (attention.diagonal(-1, 2, 3) * weights[..., 1:]).sum(-1)
    itself = (attention.diagonal(0, 2, 3) * weights).sum(-1)
    following = (attention.diagonal(1, 2, 3) * weights[..., :-1]).sum(-1)
    # A product, not a map times a map: no temporary of that size. Over all keys and queries at
    # once it would be faster still, and wrong by 1e-3 on long texts.
    by_query = torch.einsum("bhqk,qk->bhq", attention, tokens.gaps)
    distance = (by_query * weights).sum(-1)
    received = (weights[:, :, None] @ attention).squeeze(2)
    first, *special = (received @ tokens.columns).unbind(-1)
    found = [*entropies.unbind(-1), largest, previous, itself, following, first, distance]
    return torch.stack([*found, *special], dim=-1)


def predictions(attention: Tensor, tokens: Tokens) -> Tensor:
    """The word each word attends to most, and the one that attends to it most.

    Returns:
        (batch, head, direction, word), 16-bit; -1 where there is none.
    """
    if tokens.belongs is None or tokens.parts is None or tokens.places is None:
        return torch.empty(*attention.shape[:2], 2, 0, dtype=torch.int16)
    attention = attention.float()
    if len(attention) == 1:
        maps = _summed(attention, tokens.places[0], tokens.belongs)
    else:
        maps = tokens.parts.transpose(1, 2)[:, None] @ (attention @ tokens.belongs[:, None])
    maps.diagonal(dim1=2, dim2=3).zero_()
    answers = []
    for side in (-1, -2):
        weight, word = maps.max(side)
        answers.append(word.masked_fill(weight <= 0, -1))
    return torch.stack(answers, dim=2).to(torch.int16)


def _summed(attention: Tensor, places: Tensor, belongs: Tensor) -> Tensor:
    """The word maps of one text. It is a long one, where products cost many times these sums."""
    _, heads, length, _ = attention.shape
    words = belongs.shape[2] + 1
    to_words = attention.new_zeros(1, heads, length, words).index_add_(3, places, attention)
    maps = attention.new_zeros(1, heads, words, words).index_add_(2, places, to_words)
    return maps[..., 1:, 1:] / belongs.sum(1).clamp(min=1)[:, None, :, None]
