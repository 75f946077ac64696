"""Sessions: hooks on attention that exist inside a `with` block and nowhere else."""

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor

from ..errors import CaptureError
from .guards import guard, refuse_recomputation
from .mode import eval_mode
from .sites import Site, find_sites
from .ways.computation import Block, Computation
from .ways.interface import running
from .ways.listening import Step
from .ways.opening import open_ways


@dataclass(frozen=True)
class Event:
    """One attention computation, or some rows of it, as a hook sees it.

    Tensors are live: detach what you keep. Each is computed when it is first looked at.
    """

    site: Site
    computation: Computation
    block: Block | None = None

    @property
    def attention(self) -> Tensor:
        """(batch, head, row, key): the hook's rows and heads; every one if it chose none."""
        return self.block.attention if self.block else self.computation.attention

    @property
    def visible(self) -> Tensor:
        """(batch, 1, row, key), True where the mask lets the query see the key."""
        return self.block.visible if self.block else self.computation.visible

    @property
    def rows(self) -> slice:
        """The query positions that axis 2 of `attention` stands for (of chosen ones, the range)."""
        return self.block.rows if self.block else slice(0, self.computation.visible_shape[2])

    @property
    def keys(self) -> slice:
        """The key positions that axis 3 stands for; to all others these rows are blind."""
        return self.block.keys if self.block else slice(0, self.computation.visible_shape[3])

    @property
    def mask_key(self) -> object:
        """Equal for computations that share their mask; None where that is not known."""
        return self.computation.mask_key

    @property
    def query(self) -> Tensor:
        """(batch, head, query, width), as it meets the keys."""
        return self.computation.query

    @property
    def key(self) -> Tensor:
        """(batch, head, key, width); shared key heads are repeated."""
        return self.computation.key

    @property
    def value(self) -> Tensor:
        """(batch, head, key, width); shared value heads are repeated."""
        return self.computation.value

    @property
    def head_output(self) -> Tensor:
        """(batch, query, head, width), before the output projection."""
        return self.computation.head_output


@dataclass(frozen=True)
class Hook:
    """What to do at each attention site.

    `edit_attention` returns the attention to use instead, and the head output is computed
    again from it; `edit_output` returns the head output to use instead. Edits come first, so
    `observe` sees what the model goes on with. The fast kernel stays unless a hook looks at
    attention.

    Args:
        attention: whether `observe` looks at attention.
        layers, stacks, kinds: limit the hook to some sites (None: all).
        heads, queries: limit the attention that `observe` sees; it is computed beside the fast
            kernel, whose output the model keeps.
        block: how many attention weights `observe` sees at a time, a row of every head at
            least; it is called for each block of rows, and no more of the (query, key) matrix
            exists at once.
        check: called with the sites the hook is at when a session opens, to refuse a model that
            the hook does not suit before anything runs.
    """

    observe: Callable[[Event], None] | None = None
    edit_attention: Callable[[Event], Tensor] | None = None
    edit_output: Callable[[Event], Tensor] | None = None
    attention: bool = True
    layers: Collection[int] | None = None
    stacks: Collection[str] | None = None
    kinds: Collection[str] | None = None
    heads: Sequence[int] | None = None
    queries: Sequence[int] | None = None
    block: int | None = None
    check: Callable[[tuple[Site, ...]], None] | None = None

    def is_at(self, site: Site) -> bool:
        return (
            (self.layers is None or site.layer in self.layers)
            and (self.stacks is None or site.stack in self.stacks)
            and (self.kinds is None or site.kind in self.kinds)
        )

    @property
    def is_partial(self) -> bool:
        return self.heads is not None or self.queries is not None

    @property
    def forms_attention(self) -> bool:
        """Whether it needs every row of every head at once."""
        looks = self.attention and self.observe is not None
        return self.edit_attention is not None or (
            looks and self.block is None and not self.is_partial
        )


@contextmanager
def session(module: Any, *hooks: Hook) -> Iterator[tuple[Site, ...]]:
    """Run `module` with hooks on its attention, unproven; see `hooked`."""
    with _owned(module), ExitStack() as stack:
        guard(module)
        sites = find_sites(module)
        _check(hooks, sites)
        listener = Session(module, sites, hooks)
        stack.enter_context(eval_mode(module))
        if hooks:
            stack.enter_context(open_ways(module, sites, listener))
        handle = module.register_forward_pre_hook(listener.start, with_kwargs=True)
        stack.callback(handle.remove)
        yield sites


def _check(hooks: tuple[Hook, ...], sites: tuple[Site, ...]) -> None:
    layers = {site.layer for site in sites}
    heads = max(site.heads for site in sites)
    known: Mapping[str, set[Any]] = {
        "layers": layers,
        "stacks": {site.stack for site in sites},
        "kinds": {site.kind for site in sites},
        "heads": set(range(heads)),
    }
    for hook in hooks:
        for name, there in known.items():
            asked = getattr(hook, name)
            if asked is not None and (unknown := set(asked) - there):
                whole = name in ("layers", "heads") and there == set(range(len(there)))
                has = f"0 to {max(there)}" if whole else sorted(there)
                what = (
                    "do not attend by softmax" if name == "layers" and not whole else "do not exist"
                )
                raise CaptureError(
                    f"{name.capitalize()} {sorted(unknown)} {what}; this model has {has}."
                )
        here = tuple(site for site in sites if hook.is_at(site))
        if not here:
            raise CaptureError(
                f"No attention site has layers {hook.layers}, stacks {hook.stacks} and kinds "
                f"{hook.kinds} at once; the sites are {', '.join(map(str, sites))}."
            )
        if hook.check is not None:
            hook.check(here)


_owners: WeakKeyDictionary[Any, list[int]] = WeakKeyDictionary()
_lock = threading.Lock()


@contextmanager
def _owned(module: Any) -> Iterator[None]:
    """Refuse a session where another thread has one: hooks would see both threads' batches.

    So would those of a module that two models share.
    """
    me = threading.get_ident()
    parts = list(module.modules())
    with _lock:
        for part in parts:
            if any(owner != me for owner in _owners.get(part, ())):
                raise CaptureError(
                    f"Another thread is capturing this {type(part).__name__}; give each thread a "
                    "model of its own (copy.deepcopy), or take turns."
                )
        for part in parts:
            _owners.setdefault(part, []).append(me)
    try:
        yield
    finally:
        with _lock:
            for part in parts:
                _owners[part].pop()


@dataclass
class Session:
    """Follows the computations of a forward pass and hands them to the hooks."""

    module: Any
    sites: tuple[Site, ...]
    hooks: tuple[Hook, ...]
    calls: Counter[str] = field(default_factory=Counter)
    thread: int = field(default_factory=threading.get_ident)
    trials: int = field(default_factory=lambda: running.trials)

    def __post_init__(self) -> None:
        self.names = {id(part): name for name, part in self.module.named_modules()}
        self.by_module: dict[str, list[Site]] = {}
        for site in self.sites:
            self.by_module.setdefault(site.module, []).append(site)

    def start(self, module: Any, arguments: Any, named: dict[str, Any]) -> None:
        self._refuse_other_threads(module)
        if self.trials != running.trials:
            return
        _refuse_dead_arguments(named)
        self.calls.clear()

    def _refuse_other_threads(self, part: Any) -> None:
        if threading.get_ident() != self.thread:
            raise CaptureError(
                f"This {type(part).__name__} is being captured by another thread; give each "
                "thread a model of its own (copy.deepcopy), or take turns."
            )

    def computed(self, part: Any, computation: Computation) -> Sequence[Step]:
        # On a GPU the backward pass runs in a thread of its own.
        refuse_recomputation(self.module)
        # Parts of the model can be called without it.
        self._refuse_other_threads(part)
        if self.trials != running.trials:
            return []
        sites = self.by_module.get(self.names[id(part)])
        if sites is None:
            raise CaptureError(
                f"{self.names[id(part)]} ({type(part).__name__}) computed attention, which it "
                "did not in the dry run; it would go unseen."
            )
        # A part of the model may run without the rest (an encoder, before its decoder writes).
        site = sites[self.calls[site_name := sites[0].module] % len(sites)]
        self.calls[site_name] += 1
        hooks = [hook for hook in self.hooks if hook.is_at(site)]
        event = Event(site, computation)
        return [
            lambda: _edit_attention(hooks, event),
            lambda: _edit_output(hooks, event),
            lambda: _look(hooks, event),
        ]


def _edit_attention(hooks: list[Hook], event: Event) -> None:
    if any(hook.forms_attention for hook in hooks):
        _ = event.computation.attention
    for hook in hooks:
        if hook.edit_attention is not None:
            before = event.attention
            edited = hook.edit_attention(event)
            _refuse_shape(edited, before, "edit_attention", event.site)
            event.computation.replace_attention(edited)


def _edit_output(hooks: list[Hook], event: Event) -> None:
    for hook in hooks:
        if hook.edit_output is not None:
            edited = hook.edit_output(event)
            _refuse_shape(edited, event.head_output, "edit_output", event.site)
            event.computation.head_output = edited


def _refuse_shape(edited: Any, before: Tensor, name: str, site: Site) -> None:
    if not isinstance(edited, Tensor) or edited.shape != before.shape:
        given = tuple(edited.shape) if isinstance(edited, Tensor) else type(edited).__name__
        raise CaptureError(
            f"{name} returned {given} at {site}; it must return a tensor of the shape "
            f"{tuple(before.shape)} that it was given."
        )


def _look(hooks: list[Hook], event: Event) -> None:
    # Rows first: from rows of every query the output is put together.
    for hook in hooks:
        _observe_rows(hook, event)
    for hook in hooks:
        if hook.observe is not None and not _sees_rows(hook):
            hook.observe(event)


def _sees_rows(hook: Hook) -> bool:
    return hook.attention and (hook.block is not None or hook.is_partial)


def _observe_rows(hook: Hook, event: Event) -> None:
    if hook.observe is None or not _sees_rows(hook):
        return
    if hook.block is None or hook.is_partial:
        chosen = event.computation.selected(hook.heads, hook.queries)
        hook.observe(Event(event.site, event.computation, chosen))
        return
    batch, _, _, keys = event.computation.visible_shape
    rows = max(1, hook.block // (batch * event.site.heads * keys))
    for block in event.computation.blocks(rows):
        hook.observe(Event(event.site, event.computation, block))


def _refuse_dead_arguments(named: dict[str, Any]) -> None:
    # Encoder-decoder models had decoder_head_mask and cross_attn_head_mask too.
    masks = [name for name in named if name.endswith("head_mask") and named[name] is not None]
    if masks:
        raise CaptureError(
            f"{masks[0]} has no effect on models of today: it is accepted and ignored. Use "
            "hooked(module, gate_heads(gates)) instead."
        )
    if named.get("output_attentions"):
        raise CaptureError(
            "output_attentions gives nothing with the fast kernels. Leave it out: inside this "
            "block a Hook(observe=…) sees the attention, and capture(model, texts) returns it."
        )
