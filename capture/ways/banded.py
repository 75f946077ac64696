"""Longformer and the encoder of LED: a window around each token, and a few global tokens.

A token with global attention sees every token, by query, key and value projections of its own,
and every token sees it. Its row of the attention thus weighs other values than the other rows
do: where a text has global tokens, no one tensor of values gives the head output, and `value`
says so. Rows, columns and head outputs are exact all the same.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ...errors import CaptureError
from .dense import heads_first, spread, spread_visible
from .products import weigh
from .tap import unmasked
from .watching import Call, Watch, watching


@contextmanager
def banded(call: Call) -> Iterator[None]:
    """(part, listener) of the attention that Longformer brought in."""

    def finish(watch: Watch, output: Any) -> Any:
        band = _Band.of(call.part, watch)
        heads = call.part.num_heads
        value = _by_head(watch.outputs["value"][0], heads)
        options: dict[str, Any] = {}
        values = [value]
        if band.is_global is not None:
            other = _by_head(watch.outputs["value_global"][0], heads)
            options["product"] = _two_kinds(band.is_global, value, other)
            values = []
        states = call.hand_over(
            output[0], heads, band.attention, lambda: _only(values), band.visible, **options
        )
        return (states, *output[1:])

    functions, names = {functional.softmax}, ("value", "value_global")
    with watching(call.part, functions, names, finish):
        yield


@dataclass(frozen=True)
class _Band:
    """The two softmaxes of one call, and where their weights stand."""

    window: Tensor
    """(batch, head, query, slot): first the global tokens, then the window."""
    window_scores: Tensor
    keys: Tensor
    """(batch, 1, query, slot)."""
    masked: Tensor
    """(batch, token), True at padding."""
    is_global: Tensor | None
    """(batch, token)."""
    of_global: Tensor | None
    """(batch, head, global token, key)."""
    global_scores: Tensor | None

    @staticmethod
    def of(part: Any, watch: Watch) -> "_Band":
        masked = watch.arguments["is_index_masked"]
        is_global = watch.arguments["is_index_global_attn"]
        batch, length = masked.shape
        near = part.one_sided_attn_window_size
        places = torch.arange(length, device=masked.device)
        keys = places[:, None] + torch.arange(-near, near + 1, device=masked.device)
        keys = keys.expand(batch, 1, -1, -1)
        first = watch.steps[0]
        window, scores = (x.transpose(1, 2) for x in (first.result, first.scores))
        if not watch.arguments["is_global_attn"]:
            return _Band(window, scores, keys, masked, None, None, None)
        columns = _places_of(is_global)[:, None, None].expand(-1, -1, length, -1)
        second = watch.steps[1]
        of_global, global_scores = (
            x.unflatten(0, (batch, -1)) for x in (second.result, second.scores)
        )
        keys = torch.cat([columns, keys], dim=-1)
        return _Band(window, scores, keys, masked, is_global, of_global, global_scores)

    def attention(self) -> Tensor:
        """(batch, head, query, key)."""
        weights = self.window.masked_fill(self.masked[:, None, :, None], 0)
        dense = spread(weights, self.keys, self.masked.shape[1])
        return self._with_global_rows(dense, self.of_global)

    def visible(self) -> Tensor:
        """(batch, 1, query, key)."""
        seen = unmasked(self.window_scores, -1).any(1, keepdim=True)
        dense = spread_visible(seen, self.keys, self.masked.shape[1])
        if self.global_scores is None:
            return dense
        rows = unmasked(self.global_scores, -1).any(1, keepdim=True)
        return self._with_global_rows(dense, rows)

    def _with_global_rows(self, dense: Tensor, rows: Tensor | None) -> Tensor:
        """Put the rows of global tokens (batch, head, global token, key) where those stand."""
        if self.is_global is None or rows is None:
            return dense
        batch, token = self.is_global.nonzero(as_tuple=True)
        number = (self.is_global.cumsum(1) - 1)[batch, token]
        dense[batch, :, token] = rows.to(dense.dtype)[batch, :, number]
        return dense


def _places_of(is_global: Tensor) -> Tensor:
    """(batch, most global tokens in a text): their positions, -1 where a text has fewer."""
    most = int(is_global.sum(1).max())
    order = is_global.int().argsort(dim=1, descending=True, stable=True)[:, :most]
    return order.where(is_global.gather(1, order), -1)


def _by_head(states: Tensor, heads: int) -> Tensor:
    """(token, batch, head * width) to (batch, head, token, width)."""
    return heads_first(states.transpose(0, 1), heads)


def _two_kinds(is_global: Tensor, value: Tensor, other: Tensor) -> Callable[[Tensor], Tensor]:
    """Attention to head output, where the rows of global tokens weigh other values."""

    def product(attention: Tensor) -> Tensor:
        rows, keys = attention.shape[-2:]
        local = weigh(attention, value[..., :keys, :])
        from_global = weigh(attention, other[..., :keys, :])
        return torch.where(is_global[:, :rows, None, None], from_global, local)

    return product


def _only(values: list[Tensor]) -> Tensor:
    if values:
        return values[0]
    raise CaptureError(
        "Tokens with global attention weigh value vectors of their own, and the other tokens "
        "theirs, so no one tensor of values exists here. Attention and head output do; without "
        "global_attention_mask there is one."
    )
