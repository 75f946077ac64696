"""The parts of an encoder whose norms follow each addition (BERT and its kin), found and proven.

A block of that kind computes, with α the attention of each head and x what the block reads,

    h = LN(x + W_O(α W_V x)),   y = LN(h + W₂ act(W₁ h)).

Names say nothing here: a dry run shows which modules read and return what, and that the formula
gives what the model computes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ...capture import Event, Hook, Site, find_sites
from ...capture.mode import trial_mode
from ...capture.places import one_of_a_kind
from ...capture.session import session
from ...capture.ways.trial import trial_of
from ...errors import CaptureError
from .linear import bias_of, normalised, without_bias

_TOLERANCE = 1e-5


@dataclass(frozen=True, eq=False)
class Parts:
    """The modules of one block, in the order of their calls."""

    value: torch.nn.Linear
    projection: torch.nn.Linear
    attention_norm: torch.nn.LayerNorm
    inner: torch.nn.Linear
    """W₁ of the feed-forward part."""
    outer: torch.nn.Linear
    """W₂."""
    output_norm: torch.nn.LayerNorm
    heads: int

    @property
    def by_head(self) -> Tensor:
        """W_O of each head: (head, width, hidden)."""
        return self.projection.weight.detach().float().T.unflatten(0, (self.heads, -1))


@dataclass(frozen=True)
class Encoder:
    """The blocks in order, and the linear maps and norms between the last block and the logits."""

    blocks: tuple[Parts, ...]
    head: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class _Call:
    name: str
    part: Any
    read: Tensor
    returned: Tensor


@dataclass
class _Run:
    """What the linear maps and norms of a model, and its attention, computed in a dry run."""

    calls: list[_Call] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    """For each site, the calls before it."""
    attention: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)


_known: WeakKeyDictionary[Any, tuple[tuple[Site, ...], Encoder]] = WeakKeyDictionary()


def find_encoder(module: Any) -> Encoder:
    """The parts of a model, found and proven by a dry run; later calls return at once.

    Raises:
        CaptureError: a block does not compute what is said above; the message names the place.
    """
    sites = find_sites(module)
    known = _known.get(module)
    if known is None or known[0] is not sites:
        one_of_a_kind(sites)
        _known[module] = known = sites, _find(module, sites)
    return known[1]


def _find(module: Any, sites: tuple[Site, ...]) -> Encoder:
    run, rows = _dry_run(module)
    blocks: list[Parts] = []
    done = 0
    before: _Call | None = None
    for number, site in enumerate(sites):
        found = _Search(site, rows, run, number, done).find()
        if before is not None and not _same(found.value.read, before.returned, rows):
            raise CaptureError(f"{site} does not read what the block before returns; {_ONLY}.")
        blocks.append(found.parts(site.heads))
        before = found.output_norm
        done = run.calls.index(before) + 1
    return Encoder(tuple(blocks), tuple(call.part for call in run.calls[done:]))


def _dry_run(module: Any) -> tuple[_Run, Tensor]:
    """The calls, and (batch, token), True for tokens that are no padding."""
    run = _Run()
    names = {id(part): name for name, part in module.named_modules()}

    def note(part: Any, arguments: tuple[Any, ...], result: Any) -> None:
        if arguments and isinstance(arguments[0], Tensor):
            call = _Call(names[id(part)], part, arguments[0].clone(), result.clone())
            run.calls.append(call)

    def observe(event: Event) -> None:
        run.places.append(len(run.calls))
        run.attention.append(event.attention)
        run.values.append(event.value)
        run.outputs.append(event.head_output)

    trial = trial_of(module)
    handles = [
        part.register_forward_hook(note)
        for part in module.modules()
        if isinstance(part, torch.nn.Linear | torch.nn.LayerNorm)
    ]
    try:
        with trial_mode(module), session(module, Hook(observe=observe)):
            output = trial.run(module)
    finally:
        for handle in handles:
            handle.remove()
    if trial.rows is not None:
        return run, trial.rows
    return run, torch.ones(output.shape[:2], dtype=torch.bool, device=output.device)


_ONLY = "only encoders whose layer norms follow each addition, as in BERT, are taken apart"


@dataclass(frozen=True)
class _Block:
    """The calls of one block, as the fields of `Parts`."""

    value: _Call
    projection: _Call
    attention_norm: _Call
    inner: _Call
    outer: _Call
    output_norm: _Call

    def parts(self, heads: int) -> Parts:
        return Parts(
            self.value.part, self.projection.part, self.attention_norm.part, self.inner.part,
            self.outer.part, self.output_norm.part, heads,
        )  # fmt: skip


@dataclass(frozen=True)
class _Search:
    """Looks for the parts of one block among the calls of a dry run."""

    site: Site
    rows: Tensor
    run: _Run
    number: int
    done: int
    """The calls that belong to blocks before."""

    def find(self) -> _Block:
        place = self.run.places[self.number]
        values, outputs = self.run.values[self.number], self.run.outputs[self.number]
        value = self._first(
            "linear map that returns the values", torch.nn.Linear, self.run.calls[self.done :place],
            returned=values.transpose(1, 2).flatten(2),
        )  # fmt: skip
        projection = self._first(
            "linear map that reads the head outputs", torch.nn.Linear, self.run.calls[place:],
            read=outputs.flatten(2),
        )  # fmt: skip
        first = self._first(
            "layer norm of what the block reads plus what attention adds", torch.nn.LayerNorm,
            self._since(projection), read=value.read + projection.returned,
        )  # fmt: skip
        inner = self._first(
            "linear map of the normalised sum", torch.nn.Linear, self._since(first),
            read=first.returned,
        )  # fmt: skip
        outer = self._first(
            "second linear map of the feed-forward part", torch.nn.Linear, self._since(inner)[:1]
        )
        if (inner.returned.shape, first.returned.shape) != (outer.read.shape, outer.returned.shape):
            raise self._missing("feed-forward part of two linear maps")
        last = self._first(
            "layer norm of that sum plus what the feed-forward part adds", torch.nn.LayerNorm,
            self._since(outer), read=first.returned + outer.returned,
        )  # fmt: skip
        found = _Block(value, projection, first, inner, outer, last)
        self._prove(found)
        return found

    def _since(self, call: _Call) -> Sequence[_Call]:
        return self.run.calls[self.run.calls.index(call) + 1 :]

    def _first(self, what: str, kind: Any, calls: Sequence[_Call], **tensors: Tensor) -> _Call:
        for call in calls:
            if isinstance(call.part, kind) and all(
                _same(getattr(call, name), wanted, self.rows) for name, wanted in tensors.items()
            ):
                return call
        raise self._missing(what)

    def _missing(self, what: str) -> CaptureError:
        return CaptureError(f"At {self.site} there is no {what}; {_ONLY}.")

    def _prove(self, found: _Block) -> None:
        """The formulas that take a block apart give what its modules returned."""
        for call in (found.value, found.projection, found.inner, found.outer):
            self._check(call, without_bias(call.read.float(), call.part) + bias_of(call.part))
        mixed = torch.einsum(
            "bhqk,bhkw,hwd->bqd",
            self.run.attention[self.number].float().where(self.rows[:, None, :, None], 0.0),
            self.run.values[self.number].float(),
            found.parts(self.site.heads).by_head,
        )
        self._check(found.projection, mixed + bias_of(found.projection.part))
        for call in (found.attention_norm, found.output_norm):
            total = call.read.float()
            whole = normalised(total[:, :, None], total, call.part)[:, :, 0]
            self._check(call, whole + bias_of(call.part))

    def _check(self, call: _Call, expected: Tensor) -> None:
        if not _same(call.returned, expected, self.rows):
            distance = (call.returned.float() - expected)[self.rows].abs().max().item()
            raise CaptureError(
                f"{call.name} ({type(call.part).__name__}) returns something else than its "
                f"weights and bias give (off by {distance:.1e}), so its block cannot be taken "
                "apart."
            )


def _same(one: Tensor, other: Tensor, rows: Tensor) -> bool:
    """Whether two tensors (batch, token, …) are equal at the rows, up to rounding."""
    if one.shape != other.shape or one.shape[:2] != rows.shape:
        return False
    tolerance = max(_TOLERANCE, 5 * torch.finfo(one.dtype).eps)
    one, other = one[rows].float(), other[rows].float()
    largest = max(1.0, other.abs().max().item())
    return (one - other).abs().max().item() <= tolerance * largest
