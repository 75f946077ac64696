"""Sessions: hooks on attention that exist inside a `with` block and nowhere else."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from ..errors import CaptureError
from .interface import Switched
from .mode import eval_mode
from .sites import Site, find_sites
from .verify import prove


@dataclass(frozen=True)
class Event:
    """One attention computation, as a hook sees it. Tensors are live: detach what you keep."""

    site: Site
    attention: Tensor | None
    """(batch, head, query, key); None unless a hook asks for attention."""
    visible: Tensor
    """(batch, 1, query, key), True where the mask lets the query see the key."""
    value: Tensor
    """(batch, head, key, width); shared key/value heads are repeated."""
    head_output: Tensor
    """(batch, query, head, width), before the output projection."""


@dataclass(frozen=True)
class Hook:
    """What to do at each attention site.

    `edit_attention` returns the attention to use instead, and the head output is computed
    again from it; `edit_output` returns the head output to use instead. Edits come first, so
    `observe` sees what the model goes on with. `layers` limits the hook (None: every layer).
    The fast kernel stays where `attention` is False and there is no `edit_attention`.
    """

    observe: Callable[[Event], None] | None = None
    edit_attention: Callable[[Event], Tensor] | None = None
    edit_output: Callable[[Event], Tensor] | None = None
    attention: bool = True
    layers: frozenset[int] | None = None

    def needs_attention(self, site: Site) -> bool:
        asked = self.edit_attention is not None or (self.attention and self.observe is not None)
        return asked and self.is_at(site)

    def is_at(self, site: Site) -> bool:
        return self.layers is None or site.layer in self.layers


@contextmanager
def hooked(module: Any, *hooks: Hook, proven: bool = True) -> Iterator[tuple[Site, ...]]:
    """Run `module` with hooks on its attention; yields the sites.

    The module is put into eval mode inside, and everything is as it was afterwards, also
    after an exception. Sessions may be nested. The first session of a model proves on a small
    batch that what is captured is what the model computes.

    Raises:
        CaptureError: attention cannot be reached, or the proof fails.
    """
    sites = find_sites(module)
    _check_layers(hooks, sites)
    if proven:
        prove(module)
    session = _Session(module, sites, hooks)
    with ExitStack() as stack:
        stack.enter_context(eval_mode(module))
        if hooks:
            stack.enter_context(Switched(module, session))
            handle = module.register_forward_pre_hook(session.start)
            stack.callback(handle.remove)
        yield sites


def _check_layers(hooks: tuple[Hook, ...], sites: tuple[Site, ...]) -> None:
    known = {site.layer for site in sites}
    for hook in hooks:
        if hook.layers is not None and (unknown := hook.layers - known):
            raise CaptureError(
                f"Layers {sorted(unknown)} do not exist; this model has layers 0 to {max(known)}."
            )


class _Session:
    """Follows the calls of one forward pass and hands them to the hooks."""

    def __init__(self, module: Any, sites: tuple[Site, ...], hooks: tuple[Hook, ...]) -> None:
        ids = {name: id(part) for name, part in module.named_modules()}
        self.sites = {(ids[site.module], site.call): site for site in sites}
        self.hooks = hooks
        self.calls: Counter[int] = Counter()

    def start(self, *_: object) -> None:
        self.calls.clear()

    def site(self, module: Any) -> Site:
        found = self.sites.get((id(module), self.calls[id(module)]))
        if found is None:
            raise CaptureError(
                f"{type(module).__name__} computed attention more often than in the dry run "
                "(gradient checkpointing, or a part of the model called on its own); switch "
                "checkpointing off and call the whole model."
            )
        return found

    def wants_attention(self, module: Any) -> bool:
        site = self.site(module)
        return any(hook.needs_attention(site) for hook in self.hooks)

    def computed(
        self, module: Any, value: Tensor, visible: Tensor, attention: Tensor | None, output: Tensor
    ) -> Tensor:
        site = self.site(module)
        self.calls[id(module)] += 1
        event = Event(site, attention, visible, value, output)
        for hook in self.hooks:
            if not hook.is_at(site):
                continue
            if hook.edit_attention is not None:
                edited = hook.edit_attention(event)
                event = replace(event, attention=edited, head_output=weigh(edited, value))
            if hook.edit_output is not None:
                event = replace(event, head_output=hook.edit_output(event))
            if hook.observe is not None:
                hook.observe(event)
        return event.head_output


def weigh(attention: Tensor, value: Tensor) -> Tensor:
    """Head output (batch, query, head, width): attention (batch, head, query, key) times value."""
    return (attention.to(value.dtype) @ value).transpose(1, 2).contiguous()
