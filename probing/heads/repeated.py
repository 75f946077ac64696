"""Repeated random sequences: what a head does when only the past of the text can help it.

A sequence is a first token, a block of random tokens, and the same block again (Elhage et al.
2021, "A mathematical framework for transformer circuits"; Olsson et al. 2022, "In-context
learning and induction heads", appendix). Blocks differ in length, so that no fixed distance
serves for all of them. The control is a sequence of the same length whose second block is new.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...capture import Event, Hook, Site, hooked
from ...errors import CaptureError
from ...models import LoadedModel

#: What each score is the mean weight of, at the rows of the second block.
SCORES = ("previous_token", "duplicate_token", "induction", "first_token")


@dataclass(frozen=True)
class Sequences:
    """Random sequences of one block length."""

    block: int
    ids: Tensor
    """(sequence, token): a first token and the same block twice."""
    control: Tensor
    """(sequence, token): the first token and two different blocks."""


def draw_sequences(
    model: LoadedModel, *, blocks: tuple[int, int], count: int, seed: int
) -> list[Sequences]:
    """Random sequences, each group of a block length of its own.

    Args:
        blocks: the shortest and the longest block, in tokens.
        count: how many sequences, spread evenly over the lengths.

    Raises:
        CaptureError: the sequences do not fit the model, or it has too few tokens to draw from.
    """
    shortest, longest = blocks
    limit = model.max_tokens
    if not 3 <= shortest <= longest or count < 1:
        raise CaptureError(
            f"Blocks of {shortest} to {longest} tokens and {count} sequences were asked for; give "
            "at least 3 tokens, the shortest first, and at least one sequence."
        )
    if limit is not None and 2 * longest + 1 > limit:
        raise CaptureError(
            f"Two blocks of {longest} tokens and a first token do not fit the model, which reads "
            f"at most {limit} tokens; give blocks of at most {(limit - 1) // 2}."
        )
    generator = np.random.default_rng(seed)
    first = _first_token(model)
    left_out = {*model.tokenizer.all_special_ids, first}
    ids = np.array([i for i in range(model.config.vocab_size) if i not in left_out])
    if len(ids) < 2 * longest:
        raise CaptureError(
            f"The model has {len(ids)} tokens that are not special; blocks of {longest} different "
            f"tokens and as many others need {2 * longest}. Give shorter blocks."
        )
    lengths = np.linspace(shortest, longest, min(count, longest - shortest + 1)).round().astype(int)
    groups = np.bincount(np.arange(count) % len(lengths))
    return [
        _group(ids, first, int(length), int(size), generator)
        for length, size in zip(lengths, groups, strict=True)
    ]


def _group(
    ids: np.ndarray, first: int, block: int, count: int, generator: np.random.Generator
) -> Sequences:
    # Without replacement: a token that occurs twice in a block has two answers.
    drawn = np.stack([generator.choice(ids, 2 * block, replace=False) for _ in range(count)])
    start = np.full((count, 1), first)
    once, other = drawn[:, :block], drawn[:, block:]
    return Sequences(
        block,
        torch.from_numpy(np.concatenate([start, once, once], axis=1)),
        torch.from_numpy(np.concatenate([start, other, once], axis=1)),
    )


def _first_token(model: LoadedModel) -> int:
    """The token that a text of this model begins with; where it begins with none, the first one."""
    for name in ("bos_token_id", "cls_token_id"):
        token = getattr(model.tokenizer, name, None)
        if token is not None:
            return int(token)
    return 0


def score_sequences(
    model: LoadedModel, ids: Tensor, block: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of every head on sequences of one block length.

    Returns:
        scores (sequence, layer, head, score), the same for attention spread evenly over the
        visible keys (sequence, layer, score), and mean weight by distance at the rows of the
        second block (sequence, layer, head + 1, distance from 0 to `block`), even attention last.
    """
    rows = torch.arange(block + 1, 2 * block + 1, device=model.device)
    columns = torch.stack([rows - 1, rows - block, rows - block + 1, torch.zeros_like(rows)])
    distances = rows[:, None] - torch.arange(block + 1, device=model.device)
    found: dict[Site, tuple[Tensor, Tensor, Tensor]] = {}

    def observe(event: Event) -> None:
        visible = event.visible[:, :, rows].float()
        even = visible / visible.sum(-1, keepdim=True)
        attention = event.attention[:, :, rows].float()
        maps = torch.cat([attention, even], dim=1)
        decay = maps.gather(3, distances.expand(*maps.shape[:2], -1, -1)).mean(2)
        found[event.site] = _at(attention, columns), _at(even, columns)[:, 0], decay

    hook = Hook(observe=observe, kinds={"self"})
    ids = ids.to(model.device)
    with torch.no_grad(), hooked(model.reader, hook):
        model.reader(input_ids=ids, attention_mask=torch.ones_like(ids))
    scores, even, decay = zip(*found.values(), strict=True)
    return (
        torch.stack(scores, dim=1).cpu().numpy(),
        torch.stack(even, dim=1).cpu().numpy(),
        torch.stack(decay, dim=1).cpu().numpy(),
    )


def _at(attention: Tensor, columns: Tensor) -> Tensor:
    """Mean over rows of the weight on one column a row: (batch, head, score)."""
    batch, heads, rows, _ = attention.shape
    places = columns.T.expand(batch, heads, rows, len(columns))
    return attention.gather(3, places).mean(2)
