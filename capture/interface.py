"""The way into attention: a function registered with transformers' attention interface.

Everything that knows how transformers dispatches attention is in this module. A model that
runs with our implementation calls `_attend` once per attention computation with query, key,
value and mask; the model's own eager function computes the probabilities, so nothing of any
family is re-implemented here.
"""

import sys
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import eager_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from ..errors import CaptureError

NAME = "bertology"
_EAGER_NAMES = ("eager_attention_forward", "simple_eager_attention_forward")


class Listener(Protocol):
    """What `_attend` hands each computation to."""

    def wants_attention(self, module: Any) -> bool: ...

    def computed(
        self, module: Any, value: Tensor, visible: Tensor, attention: Tensor | None, output: Tensor
    ) -> Tensor: ...


#: Listeners of each attention module, by id, in order of attachment.
_listeners: dict[int, list[Listener]] = {}
#: The implementation a configuration had before ours was set, by id of the configuration.
_original: dict[int, str] = {}


def can_switch(module: Any) -> bool:
    """Whether the module takes its attention from the registered interface."""
    return isinstance(module, PreTrainedModel) and module._can_set_attn_implementation()


class Switched:
    """Runs a model with our attention function, for one listener, between enter and exit."""

    def __init__(self, module: Any, listener: Listener) -> None:
        self.module = module
        self.listener = listener
        self.saved: list[tuple[Any, str]] = []
        self.parts: list[int] = []

    def __enter__(self) -> None:
        configs = {id(m.config): m.config for m in self.module.modules()
                   if isinstance(m, PreTrainedModel)}  # fmt: skip
        self.saved = [(config, config._attn_implementation) for config in configs.values()]
        for config, implementation in self.saved:
            if implementation != NAME:
                _original[id(config)] = implementation
        self.module.set_attn_implementation(NAME)
        for part in self.module.modules():
            _listeners.setdefault(id(part), []).append(self.listener)
            self.parts.append(id(part))

    def __exit__(self, *_: object) -> None:
        for part in self.parts:
            _listeners[part].remove(self.listener)
            if not _listeners[part]:
                del _listeners[part]
        for config, implementation in self.saved:
            # The internal name: the public setter would reach into sub-configurations.
            config._attn_implementation_internal = implementation
            if implementation != NAME:
                del _original[id(config)]


def own_eager(kind: Any) -> Callable[..., tuple[Tensor, Tensor]]:
    """The eager attention function of the file that defines a module's class.

    Raises:
        CaptureError: the file has none under a known name.
    """
    for ancestor in kind.__mro__:
        source = sys.modules.get(ancestor.__module__)
        for name in _EAGER_NAMES:
            if function := getattr(source, name, None):
                return function
    raise CaptureError(
        f"{kind.__name__} uses the attention interface, but {kind.__module__} defines none of "
        f"{', '.join(_EAGER_NAMES)}; its attention cannot be captured exactly."
    )


def _attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> tuple[Tensor, Tensor | None]:
    listeners = _listeners.get(id(module))
    if not listeners:
        raise CaptureError(
            f"The attention of {type(module).__name__} ran outside a capture session; "
            "use the model only inside the `with` block, on the object it was opened for."
        )
    mask = _additive(attention_mask, query.dtype)
    attention: Tensor | None = None
    if _is_eager(module) or any(listener.wants_attention(module) for listener in listeners):
        output, attention = own_eager(type(module))(module, query, key, value, mask, **options)
    else:
        fast = ALL_ATTENTION_FUNCTIONS["sdpa"]
        output, _ = fast(module, query, key, value, mask, **options)
    shared = query.shape[1] // value.shape[1]
    value = value.repeat_interleave(shared, dim=1) if shared > 1 else value
    visible = _visible(mask, query, key)
    for listener in listeners:
        output = listener.computed(module, value, visible, attention, output)
    return output, attention


def _is_eager(module: Any) -> bool:
    config = getattr(module, "config", None)
    return _original.get(id(config), "sdpa") == "eager"


def _additive(mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """A user's own boolean mask as an additive one: eager attention would add True as 1."""
    if mask is None or mask.dtype != torch.bool:
        return mask
    hidden = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
    return hidden.masked_fill(~mask, torch.finfo(dtype).min)


def _visible(mask: Tensor | None, query: Tensor, key: Tensor) -> Tensor:
    """Which keys each query may see, shape (batch, 1, query, key), boolean."""
    shape = (query.shape[0], 1, query.shape[2], key.shape[2])
    if mask is None:
        return torch.ones(shape, dtype=torch.bool, device=query.device)
    return (mask > torch.finfo(mask.dtype).min / 2)[..., : key.shape[2]].expand(shape)


AttentionInterface.register(NAME, _attend)
# Without a mask function under the same name a model runs with no padding and no causality.
AttentionMaskInterface.register(NAME, eager_mask)
