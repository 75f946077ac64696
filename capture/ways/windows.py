"""Attention within blocks and windows: LongT5's encoder, and the first layer of CANINE.

LongT5 with transient global attention makes a summary of every full block of tokens anew in
each layer, and every token sees all of them beside its neighbours. Summaries are keys that
stand before the tokens' own: `block summary -1` is that of the last full block.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional

from ...errors import CaptureError
from .dense import heads_first, spread, spread_visible
from .tap import unmasked
from .watching import Call, replaced_input, watching

#: As many summaries as there can be: a text may have any length.
_SUMMARIES = "block summary", 1 << 30


@contextmanager
def neighbouring(call: Call) -> Iterator[None]:
    """LongT5: each block of tokens sees itself and the blocks beside it, and any summaries."""
    part = call.part

    def replace(output: Tensor) -> Tensor:
        (step,) = watch.steps
        length = output.shape[1]
        values = [heads_first(states, part.n_heads) for states in watch.outputs["v"]]
        # The tokens' own values are computed first, but their keys come last.
        value = torch.cat(values[::-1], dim=2)
        summaries = value.shape[2] - length
        keys = _keys_of_blocks(step.result, part.block_len, summaries)

        def visible() -> Tensor:
            seen = unmasked(step.scores, -1).any(2, keepdim=True)
            return _in_order(spread_visible(seen, keys, length + summaries))

        return call.hand_over(
            output,
            part.n_heads,
            lambda: _in_order(spread(step.result, keys, length + summaries)),
            lambda: value,
            visible,
            extra_keys=summaries,
            memory=(_SUMMARIES,) if hasattr(part, "global_block_size") else (),
        )

    with (
        watching(part, {functional.softmax}, ("v",)) as watch,
        replaced_input(part.o, replace),
    ):
        yield


def _keys_of_blocks(weights: Tensor, block: int, summaries: int) -> Tensor:
    """(block, 1, 1, slot): the key of each slot of (batch, block, head, row, slot)."""
    starts = torch.arange(weights.shape[1], device=weights.device)[:, None, None, None] * block
    near = torch.arange(3 * block, device=weights.device) - block + starts
    # Slots before the text are no summaries, slots after it are dropped as too far.
    near = torch.where(near >= 0, near + summaries, -1)
    shared = torch.arange(summaries, device=weights.device).expand(*near.shape[:-1], -1)
    return torch.cat([near, shared], dim=-1)


def _in_order(dense: Tensor) -> Tensor:
    """(batch, block, head, row, key) to (batch, head, query, key)."""
    return dense.transpose(1, 2).flatten(2, 3)


@contextmanager
def windowed(call: Call) -> Iterator[None]:
    """CANINE: the characters of each window see one another."""
    part = call.part
    width = part.attend_to_chunk_width
    sizes = {
        width,
        part.attend_to_chunk_stride,
        part.attend_from_chunk_width,
        part.attend_from_chunk_stride,
    }
    if part.always_attend_to_first_position or part.first_position_attends_to_all or len(sizes) > 1:
        raise CaptureError(
            f"This {type(part).__name__} has windows that overlap or share the first character, "
            "which no model of transformers has; such attention cannot be captured."
        )

    def replace(output: Tensor) -> Tensor:
        heads, steps = part.self.num_attention_heads, watch.steps
        values = watch.outputs["self.value"]
        length = output.shape[1]

        def visible() -> Tensor:
            seen = (unmasked(step.scores, -1).any(1, keepdim=True) for step in steps)
            return torch.cat([_along(one, i * width, length) > 0 for i, one in enumerate(seen)], 2)

        return call.hand_over(
            output,
            heads,
            lambda: torch.cat(
                [_along(step.result, i * width, length) for i, step in enumerate(steps)], 2
            ),
            lambda: heads_first(torch.cat(values, dim=1), heads),
            visible,
        )

    with (
        watching(part, {functional.softmax}, ("self.value",)) as watch,
        replaced_input(part.output, replace),
    ):
        yield


def _along(window: Tensor, start: int, length: int) -> Tensor:
    """(…, row, key of the window) to (…, row, key), zero outside of the window."""
    return functional.pad(window.to(torch.uint8) if window.dtype == torch.bool else window,
                          (start, length - start - window.shape[-1]))  # fmt: skip
