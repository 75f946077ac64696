"""What each block of an encoder computed on each text of a batch, without padding."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...capture import Batch, Event, Hook, hooked
from .blocks import Encoder, Parts

#: Numbers that a block of (row, key, hidden) holds at a time.
_CELLS = 2**24


@dataclass(frozen=True)
class Layer:
    """One block on one text, in single precision."""

    number: int
    parts: Parts
    read: Tensor
    """(token, hidden): what the block reads."""
    attention: Tensor
    """(head, query, key)."""
    value: Tensor
    """(head, key, width)."""
    mixed: Tensor
    """(token, hidden): what the block reads plus what attention adds."""
    normed: Tensor
    """(token, hidden): its layer norm."""
    inner: Tensor
    """(token, wide): before the nonlinearity of the feed-forward part."""
    active: Tensor
    """(token, wide): after it."""
    added: Tensor
    """(token, hidden): `normed` plus what the feed-forward part adds."""
    returned: Tensor
    """(token, hidden): its layer norm, which the block returns."""

    def transformed(self) -> Tensor:
        """f(x) of each head, the value times its slice of W_O: (head, key, hidden)."""
        return torch.einsum("hkw,hwd->hkd", self.value, self.parts.by_head)

    def from_attention(self, transformed: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Σ_h α f(x_j), some rows at a time: (row, key, hidden).

        They sum over the keys to what attention adds, but for the bias of W_O.
        """
        tokens, hidden = self.read.shape
        for rows in row_blocks(tokens, tokens * hidden):
            yield rows, torch.einsum("hqk,hkd->qkd", self.attention[:, rows], transformed)


@dataclass(frozen=True)
class HeadCall:
    """What a module between the last block and the logits read and returned: (batch, …)."""

    part: Any
    read: Tensor
    returned: Tensor


def own_terms(terms: Tensor, rows: slice) -> Tensor:
    """Of rows of terms (row, key, hidden) those of each row's own token, a view: (row, hidden)."""
    return terms[:, rows].diagonal(dim1=0, dim2=1).T


def row_blocks(rows: int, row_size: int) -> Iterator[slice]:
    """Rows that together hold a bounded count of numbers, one at least."""
    step = max(1, _CELLS // row_size)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def read_layers(
    model: Any, encoder: Encoder, batch: Batch, visit: Callable[[int, Layer], None]
) -> list[HeadCall]:
    """Run a batch; `visit` is given the number of the text and each layer as it is computed.

    Attention of no more than one layer is kept.

    Returns:
        What the modules between the last block and the logits computed.
    """
    valid = batch.mask.bool()
    now: dict[str, Tensor] = {}
    calls: list[HeadCall] = []
    number = 0

    def attend(event: Event) -> None:
        now.update(attention=event.attention, value=event.value)

    def finish() -> None:
        nonlocal number
        for text, keep in enumerate(valid):
            own = {name: tensor[text].float() for name, tensor in now.items()}
            attention = own.pop("attention")[:, keep][:, :, keep]
            value = own.pop("value")[:, keep]
            states = {name: tensor[keep] for name, tensor in own.items()}
            parts = encoder.blocks[number]
            visit(text, Layer(number, parts, attention=attention, value=value, **states))
        now.clear()
        number += 1

    def reads(name: str) -> Callable[..., None]:
        return lambda part, arguments, result: now.update({name: arguments[0]})

    def returns(name: str) -> Callable[..., None]:
        return lambda part, arguments, result: now.update({name: result})

    def head(part: Any, arguments: Any, result: Tensor) -> None:
        calls.append(HeadCall(part, arguments[0], result))

    hooks: dict[str, list[Callable[..., None]]] = {
        "value": [reads("read")],
        "attention_norm": [reads("mixed"), returns("normed")],
        "inner": [returns("inner")],
        "outer": [reads("active")],
        "output_norm": [reads("added"), returns("returned"), lambda *_: finish()],
    }
    with torch.no_grad(), hooked(model.module, Hook(observe=attend)), ExitStack() as handles:
        # A set, as blocks may share their modules.
        for name, part in {(name, getattr(b, name)) for b in encoder.blocks for name in hooks}:
            for hook in hooks[name]:
                handles.callback(part.register_forward_hook(hook).remove)
        for part in encoder.head:
            handles.callback(part.register_forward_hook(head).remove)
        model.module(**batch.inputs)
    return calls
