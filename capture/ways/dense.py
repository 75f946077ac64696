"""Attention of kernels that hold less than a (query, key) matrix, spread out when looked at."""

from collections.abc import Callable

import torch
from torch import Tensor

from .computation import Given
from .products import weigh


class Dense(Given):
    """A computation of which the model's own kernel gave the head output.

    The head output stays the model's own to the bit until the attention is edited; the gradient
    then runs through the attention, if that was formed.

    Args:
        attention: makes (batch, head, query, key).
        value: makes (batch, head, key, width).
        output: (batch, query, head, width), from the model's kernel.
        visible: makes (batch, 1, query, key).
        keys: how many there are; as many as queries if None.
        product: attention to head output, where that is more than a product with `value`.
        memory: kinds of keys that precede the text's own, as a site names them.
        rounding: how far the model's own arithmetic leaves rows from a sum of 1.
    """

    def __init__(
        self,
        attention: Callable[[], Tensor],
        value: Callable[[], Tensor],
        output: Tensor,
        visible: Callable[[], Tensor],
        *,
        keys: int | None = None,
        product: Callable[[Tensor], Tensor] | None = None,
        memory: tuple[tuple[str, int], ...] = (),
        rounding: float = 0.0,
    ) -> None:
        self._form = attention
        self._formed: Tensor | None = None
        self._value = value
        self._multiply = product or (lambda attention: weigh(attention, self.value))
        self._visible = visible
        self._own: Tensor | None = output
        self._head_output: Tensor | None = None
        self._shape = (output.shape[0], 1, output.shape[1], keys or output.shape[1])
        self.memory = memory
        self.rounding = rounding

    @property
    def attention(self) -> Tensor:
        """(batch, head, query, key)."""
        if self._formed is None:
            self._formed = self._form()
        return self._formed

    @property
    def visible_shape(self) -> tuple[int, ...]:
        return self._shape

    @property
    def head_output(self) -> Tensor:
        """(batch, query, head, width)."""
        if self._head_output is not None:
            return self._head_output
        own, formed = self._own, self._formed
        if own is None or (formed is not None and formed.requires_grad):
            product = self._multiply(self.attention)
            # The numbers of the kernel, the gradient of the product.
            self._head_output = product if own is None else product + (own - product).detach()
            return self._head_output
        return own

    @head_output.setter
    def head_output(self, output: Tensor) -> None:
        self._head_output = output

    def replace_attention(self, attention: Tensor) -> None:
        if attention is not self._formed:
            self._formed, self._own = attention, None
        self._head_output = None

    def weighed(self, attention: Tensor) -> Tensor:
        """The head output (batch, query, head, width) that belongs to an attention."""
        return self._multiply(attention)


def spread(weights: Tensor, keys: Tensor, size: int) -> Tensor:
    """Put weights at their keys: (…, row, slot) to (…, row, size).

    Args:
        keys: the key of each slot, in any shape that expands to that of the weights; slots at
            the same key add up, slots outside of 0 … size - 1 are dropped.
    """
    keys = keys.where((keys >= 0) & (keys < size), size)
    dense = weights.new_zeros(*weights.shape[:-1], size + 1)
    return dense.scatter_add(-1, keys.expand_as(weights), weights)[..., :size]


def spread_visible(visible: Tensor, keys: Tensor, size: int) -> Tensor:
    """The same for slots that are visible or not."""
    return spread(visible.to(torch.uint8), keys, size) > 0


def heads_first(states: Tensor, heads: int) -> Tensor:
    """(batch, token, head * width) to (batch, head, token, width)."""
    return states.unflatten(-1, (heads, -1)).transpose(1, 2)
