"""The way into attention by a function registered with transformers' attention interface.

Everything that knows how transformers dispatches attention is in this module and in `masks`. A
model that runs with our implementation calls `_attend` once per attention computation with
query, key, value and mask; the model's own eager function computes the probabilities, so
nothing of any family is re-implemented here.
"""

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import eager_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from ...errors import CaptureError
from .computation import Eager, Kernel
from .listening import Listener, tell
from .masks import Index, mask_of, placeholder

NAME = "bertology"
_EAGER_NAMES = ("eager_attention_forward", "simple_eager_attention_forward")


class Running(threading.local):
    """What this thread is doing."""

    inside = False
    """Whether it is inside our attention function, where nothing else may listen."""
    sessions = 0
    """How many sessions it has open."""
    trials = 0
    """How deep it is in passes on made-up inputs, which only their own hooks may see."""
    with_masks = 0
    """In how many of them masks are made as transformers makes them."""
    batch = 0
    """Texts in the current call of a model."""


@dataclass
class _Switch:
    """A configuration that has our implementation for the moment."""

    config: Any
    implementation: str
    """What it had before."""
    sessions: int = 0


running = Running()
#: Listeners of each attention module, by id, in order of attachment.
_listeners: dict[int, list[Listener]] = {}
#: By id of the configuration. Several models may share one, and so several sessions at once.
_switches: dict[int, _Switch] = {}
_lock = threading.Lock()
#: Models whose masks are computed with on their way to attention.
needs_masks: WeakSet[Any] = WeakSet()


def can_switch(module: Any) -> bool:
    """Whether a part of the module takes its attention from the registered interface."""
    return any(
        isinstance(part, PreTrainedModel) and part._can_set_attn_implementation()
        for part in module.modules()
    )


class Switched:
    """Runs a model with our attention function, for one listener, between enter and exit."""

    def __init__(self, module: Any, listener: Listener) -> None:
        self.module = module
        self.listener = listener
        self.configs: list[Any] = []
        self.parts: list[int] = []
        self.with_masks = False

    def __enter__(self) -> None:
        models = [part for part in self.module.modules() if isinstance(part, PreTrainedModel)]
        able = [part for part in models if part._can_set_attn_implementation()]
        configs = {id(config): config for part in able for config in _configs(part.config)}
        # A part that dispatches by itself would take our name and lose its mask.
        for part in models:
            if part not in able:
                configs.pop(id(part.config), None)
        self.configs = list(configs.values())
        self.with_masks = self.module in needs_masks or _is_spread(self.module)
        running.sessions += 1
        running.with_masks += self.with_masks
        with _lock:
            for part in self.module.modules():
                _listeners.setdefault(id(part), []).append(self.listener)
                self.parts.append(id(part))
            for config in self.configs:
                _switch(config)

    def __exit__(self, *_: object) -> None:
        with _lock:
            for config in self.configs:
                _switch_back(config)
            for part in self.parts:
                _listeners[part].remove(self.listener)
                if not _listeners[part]:
                    del _listeners[part]
        running.with_masks -= self.with_masks
        running.sessions -= 1


def _switch(config: Any) -> None:
    if id(config) not in _switches:
        _switches[id(config)] = _Switch(config, config._attn_implementation_internal)
    _switches[id(config)].sessions += 1
    # The internal name: the public setter checks and prints, and reaches further.
    config._attn_implementation_internal = NAME


def _switch_back(config: Any) -> None:
    switch = _switches[id(config)]
    switch.sessions -= 1
    if not switch.sessions:
        config._attn_implementation_internal = switch.implementation
        del _switches[id(config)]


def _configs(config: Any) -> list[Any]:
    """A configuration and those inside it: composite models have one for each part."""
    inside = [getattr(config, name, None) for name in getattr(config, "sub_configs", {})]
    return [config, *(deeper for one in inside if one is not None for deeper in _configs(one))]


def _is_spread(module: Any) -> bool:
    """Parts on several devices: masks are then copied between them, placeholders cannot be."""
    if getattr(module, "hf_device_map", None):
        return True
    # Each session asks; `module.parameters()` would look for shared ones at length.
    own = (parameter for part in module.modules() for parameter in part._parameters.values())
    return len({parameter.device for parameter in own if parameter is not None}) > 1


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
    listeners = tuple(_listeners.get(id(module), ()))
    switch = _switches.get(id(getattr(module, "config", None)))
    if not listeners and switch is None:
        raise CaptureError(
            f"The attention of {type(module).__name__} ran outside a capture session; "
            "use the model only inside the `with` block, on the object it was opened for (a copy "
            "made inside the block has to be made outside)."
        )
    mask = mask_of(attention_mask, query, key)
    implementation = (switch.implementation if switch else None) or "sdpa"

    def fast() -> Tensor:
        function = ALL_ATTENTION_FUNCTIONS[implementation]
        output, _ = function(module, query, key, value, mask.fast(implementation), **options)
        return output

    computation = Kernel(
        query,
        key,
        value,
        mask,
        _eager(module, options, query.shape),
        fast,
        # Models with attention sinks keep one weight a head in the module.
        cuts_heads=getattr(module, "sinks", None) is None,
    )
    running.inside = True
    try:
        # Without listeners this is a model outside the session that shares its configuration.
        if implementation == "eager":
            _ = computation.attention
        tell(listeners, module, computation)
        return computation.head_output, computation.known_attention
    finally:
        running.inside = False


def _eager(module: Any, options: dict[str, Any], shape: torch.Size) -> Eager:
    """The model's own eager attention for some of the rows, keys and heads."""
    function = own_eager(type(module))

    def eager(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        rows: Index,
        keys: slice,
        heads: Index,
    ) -> tuple[Tensor, Tensor]:
        cut = {
            name: _cut_option(option, shape, rows, keys, heads) for name, option in options.items()
        }
        return function(module, query, key, value, mask, **cut)

    return eager


def _cut_option(option: Any, shape: torch.Size, rows: Index, keys: slice, heads: Index) -> Any:
    """A position bias (1 or batch, 1 or head, query, key) is cut like the scores it joins."""
    if not isinstance(option, Tensor) or option.dim() != 4 or option.shape[2] != shape[2]:
        return option
    option = option[:, :, rows, keys]
    return option[:, heads] if option.shape[1] == shape[1] else option


def _mask(**arguments: Any) -> Tensor | None:
    # In a thread without a session runs a model that shares its configuration with a captured
    # one; the other thread's session may end before the mask is used.
    made = running.with_masks or not running.sessions
    return eager_mask(**arguments) if made else placeholder(**arguments)


AttentionInterface.register(NAME, _attend)
# Without a mask function under the same name a model runs with no padding and no causality.
AttentionMaskInterface.register(NAME, _mask)
