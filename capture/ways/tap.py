"""The way into attention that a model computes in code of its own: following the softmax.

While an attention module runs, every softmax is noted and its result followed through changes
of shape until it multiplies something: that product is the head output, the other factor the
value. Which axis is which is read off the product itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from .computation import Computation, Given
from .explicit import SIGNATURE as _SDPA
from .explicit import explicit
from .interface import running
from .layouts import Layout, layout_of

_SOFTMAX = {functional.softmax, torch.softmax, Tensor.softmax, torch.special.softmax}
_RESHAPE = {
    Tensor.view, Tensor.reshape, torch.reshape, Tensor.permute, torch.permute, Tensor.transpose,
    torch.transpose, Tensor.unsqueeze, torch.unsqueeze, Tensor.squeeze, torch.squeeze,
    Tensor.expand, Tensor.flatten, torch.flatten, Tensor.unflatten, Tensor.swapaxes,
    Tensor.movedim, torch.movedim, Tensor.__getitem__,
}  # fmt: skip
_KEEP = {
    functional.dropout, torch.dropout, Tensor.to, Tensor.type, Tensor.type_as, Tensor.float,
    Tensor.half, Tensor.bfloat16, Tensor.contiguous, Tensor.clone, Tensor.masked_fill,
    torch.masked_fill, Tensor.masked_fill_,
}  # fmt: skip
_PRODUCT = {torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, Tensor.bmm, torch.einsum}
_TIMES = {torch.mul, Tensor.mul, Tensor.__mul__, torch.multiply, Tensor.multiply}
_SUM = {torch.sum, Tensor.sum}

#: Scores this far below the best of their row are masked, not small: masks are -10,000 or less.
_MASKED = 5_000.0


@dataclass(frozen=True)
class _Followed:
    """A tensor that holds attention, and where it may be anything but zero."""

    tensor: Tensor
    visible: Callable[[], Tensor]
    #: What the attention was multiplied with element by element, before a sum over the keys.
    factor: Tensor | None = None
    attention: Tensor | None = None


class Tap(TorchFunctionMode):
    """Follows attention while it is the active mode.

    Args:
        computed: told of each computation before its head output is used.
        batch: the number of texts, to tell a batch axis from a head axis.
        layout: the declared axes of the softmax, if they cannot be read off the product.
        born: told of each softmax.
    """

    def __init__(
        self,
        computed: Callable[[Computation], None],
        batch: Callable[[], int],
        layout: str | None = None,
        born: Callable[[Tensor], None] = lambda softmax: None,
    ) -> None:
        super().__init__()
        self.computed = computed
        self.batch = batch
        self.layout = layout
        self.followed: dict[int, _Followed] = {}
        self.softmaxes = 0
        self.born = born

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if running.inside:
            return func(*args, **kwargs)
        if func in _SOFTMAX:
            output = func(*args, **kwargs)
            scores = args[0] if args else kwargs["input"]
            dim = kwargs.get("dim", args[1] if len(args) > 1 else -1)
            self._follow(_Followed(output, lambda: unmasked(scores, dim)))
            self.softmaxes += 1
            self.born(output)
            return output
        if func is functional.scaled_dot_product_attention:
            return self._kernel(args, kwargs)
        if func in _PRODUCT:
            return self._product(func, args, kwargs)
        if func in _TIMES:
            return self._times(func, args, kwargs)
        first = self._known(args[0]) if args else None
        if first is None:
            return func(*args, **kwargs)
        if func in _SUM and first.factor is not None:
            return self._summed(func, first, args, kwargs)
        output = func(*args, **kwargs)
        if func in _RESHAPE:
            before = first.visible
            self._follow(_Followed(output, lambda: func(before(), *args[1:], **kwargs)))
        elif func in _KEEP:
            self._follow(_Followed(output, first.visible))
        return output

    def _kernel(self, args: Any, kwargs: dict[str, Any]) -> Any:
        call = _SDPA.bind(*args, **kwargs)
        call.apply_defaults()
        if call.arguments["query"].dim() != 4:
            return functional.scaled_dot_product_attention(*args, **kwargs)
        self.softmaxes += 1
        computation = explicit(functional.scaled_dot_product_attention, **call.arguments)
        self.computed(computation)
        return computation.head_output.transpose(1, 2).clone()

    def forget(self) -> None:
        """Let go of what was followed."""
        self.followed.clear()

    def _follow(self, followed: _Followed) -> None:
        self.followed[id(followed.tensor)] = followed

    def _known(self, tensor: Any) -> _Followed | None:
        return self.followed.get(id(tensor)) if isinstance(tensor, Tensor) else None

    def _product(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        equation = args[0] if func is torch.einsum and isinstance(args[0], str) else None
        factors = list(args if equation is None else args[1:])
        if len(factors) == 1 and isinstance(factors[0], list | tuple):
            factors = list(factors[0])
        found = [i for i, factor in enumerate(factors) if self._known(factor)]
        # In a plain product attention stands on the left; on the right stand convolution
        # kernels, which some models also form by a softmax.
        if len(factors) != 2 or len(found) != 1 or (equation is None and found != [0]):
            return func(*args, **kwargs)
        place = found[0]
        followed, other = self.followed[id(factors[place])], factors[1 - place]
        layout = layout_of(followed.tensor, other, self.batch(), equation, place, self.layout)
        if layout is None:
            return func(*args, **kwargs)

        def multiply(attention: Tensor) -> Tensor:
            factors[place] = attention
            return func(*factors, **kwargs) if equation is None else func(equation, *factors)

        return self._computed(followed, other, layout, multiply)

    def _times(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        output = func(*args, **kwargs)
        for one, other in (args[:2], args[1::-1]):
            followed = self._known(one)
            if followed is None or not isinstance(other, Tensor):
                continue
            if one.dim() == other.dim() == 3 and one.shape[-1] == 1 < other.shape[-1]:
                self._follow(_Followed(output, followed.visible, other, one))
            else:
                self._follow(_Followed(output, followed.visible))
        return output

    def _summed(self, func: Any, product: _Followed, args: Any, kwargs: dict[str, Any]) -> Any:
        """A weighted sum written as (weights * values).sum(1): one row, one head."""
        dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
        attention, values = product.attention, product.factor
        if dim not in (1, -2) or attention is None or values is None:
            return func(*args, **kwargs)
        keep = bool(kwargs.get("keepdim", False))

        def multiply(weights: Tensor) -> Tensor:
            return (weights * values).sum(1, keepdim=keep)

        followed = _Followed(attention, product.visible)
        return self._computed(followed, values, Layout.pooled(keep), multiply)

    def _computed(
        self,
        followed: _Followed,
        other: Tensor,
        layout: Layout,
        multiply: Callable[[Tensor], Tensor],
    ) -> Tensor:
        computation = Given(
            layout.attention(followed.tensor),
            value=lambda: layout.value(other),
            head_output=lambda attention: layout.output(
                multiply(layout.attention_back(attention).to(followed.tensor.dtype))
            ),
            visible=lambda: layout.attention(followed.visible()).any(1, keepdim=True),
        )
        self.computed(computation)
        # A copy, as some models go on to add to it in place: a hook may have kept the original.
        return layout.output_back(computation.head_output).clone()


def unmasked(scores: Tensor, dim: int) -> Tensor:
    """Where scores are no mask, in the shape of the scores."""
    scores = scores.detach()
    return scores > scores.amax(dim, keepdim=True) - _MASKED
