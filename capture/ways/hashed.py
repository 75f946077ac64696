"""Reformer: attention within chunks of the text, or of tokens sorted by hashes.

What Reformer computes in single precision is kept as it is: where a token sees nothing but
itself (the first of a causal model), its score is -100,000, beside which single precision
resolves 0.008, so such a row sums to 1 only within 0.01. Unless `config.hash_seed` is set,
Reformer draws new hashes in every pass, and two passes over a text differ. Its layers compute
without a graph, so no gradient reaches attention.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ...errors import CaptureError
from .dense import heads_first, spread, spread_visible
from .tap import unmasked
from .watching import Call, Step, Watch, watching

#: Twice the spacing of single precision near 100,000, rounded up: one sum and one mix of hashes.
_ROUNDING = 0.01


@contextmanager
def chunked(call: Call) -> Iterator[None]:
    """Attention from each chunk to itself and its neighbours."""
    part = call.part

    def finish(watch: Watch, output: Any) -> Any:
        (step,) = watch.steps
        length = output.hidden_states.shape[1]
        if step.result.dim() == 4:
            return _hand_over(call, watch, output, _Whole(step, length))
        places = torch.arange(length, device=step.result.device)
        sorted_places = places.view(1, 1, -1, part.chunk_length)
        return _hand_over(call, watch, output, _Chunks(part, step, sorted_places, length))

    with watching(part, {torch.exp}, ("value",), finish):
        yield


@contextmanager
def hashed(call: Call) -> Iterator[None]:
    """Attention among tokens whose hashes fell into the same bucket, over all rounds of hashes."""
    part = call.part

    def finish(watch: Watch, output: Any) -> Any:
        step, *mix = watch.steps
        batch, length, _ = output.hidden_states.shape
        rounding = _ROUNDING if part.is_decoder else 0.0
        if step.result.dim() == 4:
            return _hand_over(call, watch, output, _Whole(step, length), rounding)
        rounds = output.buckets.shape[2]
        order, back = part._get_sorted_bucket_idx_and_undo_sorted_bucket_idx(
            length, output.buckets.reshape(batch, part.num_attention_heads, -1), rounds
        )
        places = (order % length).unflatten(-1, (-1, part.chunk_length))
        share = mix[0].result if mix else None
        chunks = _Chunks(part, step, places, length, back, share)
        return _hand_over(call, watch, output, chunks, rounding)

    with buckets_kept(part), watching(part, {torch.exp}, ("value",), finish):
        yield


@contextmanager
def buckets_kept(module: Any) -> Iterator[None]:
    """Leave the number of buckets open where it is: the first text read would fix it for all."""
    hashing = [part for part in module.modules() if hasattr(part, "_set_num_buckets")]
    before = [(part, part.num_buckets, part.config.num_buckets) for part in hashing]
    try:
        yield
    finally:
        for part, own, configured in before:
            part.num_buckets, part.config.num_buckets = own, configured


class _Whole:
    """A text that fits into one chunk: ordinary attention."""

    def __init__(self, step: Step, length: int) -> None:
        if step.result.shape[2:] != (length, length):
            raise CaptureError(
                "Reformer reads one token at a time here, with what it remembers of those "
                "before (past_buckets_states), which cannot be captured; give whole texts, with "
                "use_cache=False."
            )
        self.step = step

    def attention(self) -> Tensor:
        return self.step.result

    def visible(self) -> Tensor:
        return unmasked(self.step.scores, -1).any(1, keepdim=True)


class _Chunks:
    """Weights (batch, head, chunk, row, slot), and the token behind each row and slot.

    Args:
        places: (batch, head, chunk, row), the token of each row; batch and head may be 1.
        back: (batch, head, round * token), the row of each token in each round of hashes.
        share: (batch, head, round, token, 1), how the rounds are mixed.
    """

    def __init__(
        self,
        part: Any,
        step: Step,
        places: Tensor,
        length: int,
        back: Tensor | None = None,
        share: Tensor | None = None,
    ) -> None:
        looked_at = part._look_adjacent(places, part.num_chunks_before, part.num_chunks_after)
        self.keys = looked_at.unsqueeze(-2)
        self.step, self.length, self.back, self.share = step, length, back, share
        rows = step.result.shape[2] * step.result.shape[3]
        if back is None and rows != length:
            raise CaptureError(
                f"Reformer computed {rows} rows of attention for {length} tokens, which is not "
                "understood. Please give whole texts, with use_cache=False."
            )

    def attention(self) -> Tensor:
        """(batch, head, query, key)."""
        by_round = self._in_order(spread(self.step.result, self.keys, self.length))
        return by_round[:, :, 0] if self.share is None else (by_round * self.share).sum(2)

    def visible(self) -> Tensor:
        """(batch, 1, query, key): what some head compared in some round."""
        seen = unmasked(self.step.scores, -1)
        by_round = self._in_order(spread_visible(seen, self.keys, self.length))
        if self.share is not None:
            # A round in which a token met nothing but itself has no share in the mix.
            by_round = by_round & (self.share > 0)
        return by_round.any(2).any(1, keepdim=True)

    def _in_order(self, dense: Tensor) -> Tensor:
        """(batch, head, chunk, row, key) to (batch, head, round, query, key)."""
        dense = dense.flatten(2, 3)
        if self.back is not None:
            dense = dense.gather(2, self.back.unsqueeze(-1).expand_as(dense))
        return dense.unflatten(2, (-1, self.length))


def _hand_over(
    call: Call, watch: Watch, output: Any, kernel: _Whole | _Chunks, rounding: float = 0.0
) -> Any:
    heads = call.part.num_attention_heads
    value = heads_first(watch.outputs["value"][0], heads)
    states = call.hand_over(
        output.hidden_states,
        heads,
        kernel.attention,
        lambda: value,
        kernel.visible,
        rounding=rounding,
    )
    return output._replace(hidden_states=states)
