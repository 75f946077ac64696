"""Value zeroing: how far a token's state moves when another token's value is zero."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...capture import Batch, Hook, hidden_states, hooked, patch_hidden
from ...capture.places import one_of_a_kind
from ...capture.stream import batch_tokens
from ...corpora import Encoding
from ..goals import Goal
from ..running import stream_with
from .joining import Joined, join


def value_zeroing(
    model: Any, encodings: Sequence[Encoding], goals: Sequence[Goal], *, seed: int
) -> list[np.ndarray]:
    """Value-zeroing maps multiplied over the layers, read at the goal's rows; draws nothing.

    The identity is not added: the output of a block holds its residual already (Mohebbi et al.
    2023).
    """
    maps = value_zeroing_maps(model, encodings)
    return [goal.rows @ own.joined for own, goal in zip(maps, goals, strict=True)]


def value_zeroing_maps(model: Any, encodings: Sequence[Encoding]) -> list[Joined]:
    """Cosine distance of each token's state after a block when token j has zero values there.

    Mohebbi et al. 2023 (arXiv 2301.12971). Queries, keys and attention stay, and what the block
    reads is that of the intact text. As many forward passes per text as it has tokens, each of
    one copy, serve all layers at once: after each block the copies get back the intact state.
    """

    def run(batch: Batch, _: list[None]) -> list[Joined]:
        with torch.no_grad(), hidden_states(model.module) as states:
            with hooked(model.module):
                model.module(**batch.inputs)
            # The list is filled anew by the passes over the copies.
            intact = list(states)
        places = batch.mask.bool().nonzero()
        at_once = max(1, batch_tokens(model) // batch.mask.shape[1])
        parts = [_distances(model, batch, intact, part) for part in places.split(at_once)]
        # (copy, layer, query) to a map of each text.
        moved = torch.cat(parts).cpu().numpy()
        texts = places[:, 0].cpu().numpy()
        return [
            join(moved[texts == row][:, :, keep].transpose(1, 2, 0))
            for row, keep in enumerate(batch.mask.bool().cpu().numpy())
        ]

    nothing = [None] * len(encodings)
    return stream_with(model, encodings, nothing, run, description="value zeroing")


def _distances(model: Any, batch: Batch, intact: list[Tensor], places: Tensor) -> Tensor:
    """(copy, layer, token), each copy with the values of one token zeroed.

    Args:
        places: (copy, 2), the text of the batch and the position of the token.
    """
    texts, tokens = places.T
    columns = torch.arange(batch.mask.shape[1], device=tokens.device)
    kept = (columns != tokens[:, None])[:, None, None]
    found: list[Tensor] = []

    def compare(layer: int) -> Callable[[Tensor], Tensor]:
        def swap(state: Tensor) -> Tensor:
            own = intact[layer][texts]
            found.append(cosine_distance(state, own))
            return own

        return swap

    # A weight of zero, with the others as they are, does what a value of zero does.
    zero = Hook(edit_attention=lambda e: e.attention * kept, check=one_of_a_kind)
    with torch.no_grad(), ExitStack() as stack:
        stack.enter_context(hooked(model.module, zero))
        for layer in range(1, len(intact)):
            stack.enter_context(patch_hidden(model.module, layer, compare(layer)))
        model.module(**{name: tensor[texts] for name, tensor in batch.inputs.items()})
    return torch.stack(found, 1)


def cosine_distance(one: Tensor, other: Tensor) -> Tensor:
    """1 − cos over the last axis, as half the squared distance of the unit vectors.

    That form keeps the digits of small distances.
    """
    one, other = (torch.nn.functional.normalize(v.double(), dim=-1) for v in (one, other))
    return (one - other).square().sum(-1) / 2
