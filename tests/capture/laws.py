"""Laws that hold for attention in every family, measured once a family.

Differences are absolute, of outputs in units of the largest output; 0 is equality bit by bit.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor

from bertology.capture import (
    Event,
    Hook,
    Site,
    find_sites,
    hooked,
    uniform_attention,
)
from bertology.capture.projection import output_weights
from bertology.errors import CaptureError

from . import oracles
from .distances import apart, most, part_apart
from .families import FAMILIES
from .family import Family


@cache
def subject(name: str) -> "Subject":
    return Subject(FAMILIES[name])


@dataclass
class Subject:
    """A family, its model, and what is measured of it."""

    family: Family
    kernel: str | None = None
    dtype: torch.dtype = torch.float32

    @cached_property
    def module(self) -> Any:
        return oracles.build(self.family, self.kernel).to(self.dtype)

    @cached_property
    def inputs(self) -> dict[str, Tensor]:
        return self._cast(oracles.padded(self.family, self.module))

    def _cast(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {
            name: tensor.to(self.dtype) if tensor.is_floating_point() else tensor
            for name, tensor in inputs.items()
        }

    @cached_property
    def sites(self) -> tuple[Site, ...]:
        return find_sites(self.module)

    @cached_property
    def plain(self) -> Tensor:
        with torch.no_grad():
            return self.module(**self.inputs)[0]

    def run(self, *hooks: Hook, inputs: dict[str, Tensor] | None = None) -> Tensor:
        with torch.no_grad(), hooked(self.module, *hooks):
            return self.module(**(self.inputs if inputs is None else inputs))[0]

    @cached_property
    def events(self) -> dict[Site, Event]:
        return self._events(self.inputs)[0]

    def _events(self, inputs: dict[str, Tensor]) -> tuple[dict[Site, Event], Tensor]:
        kept: dict[Site, Event] = {}
        output = self.run(Hook(observe=lambda e: kept.__setitem__(e.site, e)), inputs=inputs)
        return kept, output

    @cached_property
    def oracle(self) -> dict[Site, Tensor]:
        return oracles.maps(self.family, self.inputs, self.sites, self.dtype)

    def real(self, length: int) -> Tensor:
        """(text, row), True where a row is no padding; all True for lengths of neither text."""
        for name in ("attention_mask", "decoder_attention_mask"):
            mask = self.inputs.get(name)
            if mask is not None and mask.shape[1] == length:
                return mask.bool()
        return torch.ones(3, length, dtype=torch.bool)

    def between(self, output: Tensor, other: Tensor) -> float:
        """How far two outputs are from each other at real tokens."""
        real = self.real(output.shape[1])
        return apart(output[real], other[real])

    # The laws.

    @cached_property
    def attention(self) -> float:
        return max(
            self._to_oracle(self.events[site].attention, own) for site, own in self.oracle.items()
        )

    def _to_oracle(self, attention: Tensor, own: Tensor) -> float:
        # Some models pad texts further inside, and the oracle sees that.
        _, _, queries, keys = attention.shape
        distance = (attention - own[:, :, :queries, :keys]).abs()
        return most(distance, self.real(queries))

    @cached_property
    def peak(self) -> float:
        """The largest weight at a site; the smallest of all sites: none is spread evenly."""
        return min(event.attention.max().item() for event in self.events.values())

    @cached_property
    def rows(self) -> float:
        """How far rows are from summing to 1, or above 1 where heads have a sink."""
        worst = 0.0
        for event in self.events.values():
            excess = event.attention.double().sum(-1) - 1
            excess = excess.abs() if self.family.sums_to_one else excess.clamp(min=0)
            worst = max(worst, most(excess.unsqueeze(-1), self.real(excess.shape[2])))
        return worst

    @cached_property
    def head_output(self) -> float | None:
        """Attention times values; None where no one tensor of values gives the head output."""
        if self.family.globals:
            return None
        worst = 0.0
        for event in self.events.values():
            product = torch.einsum(
                "bhqk,bhkd->bqhd", event.attention.double(), event.value.double()
            )
            real = self.real(product.shape[1])
            worst = max(worst, apart(product[real], event.head_output[real]))
        return worst

    @cached_property
    def untouched(self) -> float:
        """A hook that looks at nothing of attention."""
        looks_away = Hook(observe=lambda event: None, attention=False)
        return self.between(self.run(looks_away), self.plain)

    @cached_property
    def observed(self) -> float:
        return self.between(self.run(Hook(observe=lambda event: None)), self.plain)

    @cached_property
    def unchanged(self) -> float:
        """Attention replaced by itself."""
        same = Hook(edit_attention=lambda event: self.events[event.site].attention)
        return self.between(self.run(same), self.plain)

    @cached_property
    def evened(self) -> float:
        """Attention spread evenly; the least change of the output by one site."""
        shape = max(s.layer for s in self.sites) + 1, max(s.heads for s in self.sites)
        edit = uniform_attention(torch.ones(shape, dtype=torch.bool)).edit_attention
        assert edit is not None
        return min(
            self.between(self.run(_at(site, Hook, edit_attention=edit)), self.plain)
            for site in self.sites
        )

    @cached_property
    def zeroed(self) -> tuple[float, float]:
        """One head's output zeroed: distance to its slice of W_O zeroed, and the effect."""
        distances, effects = [], []
        for place, site in enumerate(self.sites):
            head = place % site.heads

            def edit(event: Event, head: int = head) -> Tensor:
                output = event.head_output.clone()
                output[:, :, head] = 0
                return output

            gated = self.run(_at(site, Hook, edit_output=edit))
            with self._slice_zeroed(site, head), torch.no_grad():
                cut = self.module(**self.inputs)[0]
            distances.append(self.between(gated, cut))
            effects.append(self.between(gated, self.plain))
        return max(distances), min(effects)

    def has_projection(self) -> bool:
        """Whether the projection reads the head outputs and nothing else at their places."""
        return "added" not in self.family.beside

    @contextmanager
    def _slice_zeroed(self, site: Site, head: int) -> Iterator[None]:
        width = self.events[site].head_output.shape[-1]
        part = slice(head * width, (head + 1) * width)
        if not self.family.projection:
            weight = self.module.get_submodule(site.module).o  # XLNet's (hidden, head, width)
            kept = weight.data.clone()
            weight.data[:, head] = 0
            yield
            weight.data.copy_(kept)
            return
        (projection, *_) = oracles.parts(self.module, site.module, self.family.projection)
        calls = 0

        def zero(_: Any, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            nonlocal calls
            calls += 1
            if calls - 1 != site.call:  # ALBERT's layers share one projection
                return arguments
            read = arguments[0].clone()
            if isinstance(projection, torch.nn.Conv1d):
                read[:, part] = 0
            else:
                read[..., part] = 0
            return (read, *arguments[1:])

        handle = projection.register_forward_pre_hook(zero)
        yield
        handle.remove()

    @cached_property
    def singles(self) -> float:
        """A batch against its texts one by one."""
        return self._against_singles("right")

    @cached_property
    def left(self) -> float:
        return self._against_singles("left")

    def _against_singles(self, side: str) -> float:
        inputs = self._cast(oracles.padded(self.family, self.module, side))
        together, output = self._events(inputs)
        width, worst = inputs.get("attention_mask", torch.ones(1, 0)).shape[1], 0.0

        def place(alone: int, beside: int) -> slice:
            if side == "left" and beside == width:
                return slice(beside - alone, beside)
            return slice(0, alone)

        for row in range(3):
            single = self._cast(oracles.padded(self.family, self.module, only=row))
            alone, own_output = self._events(single)
            for site, event in alone.items():
                many = together[site].attention[row]
                worst = max(worst, part_apart(event.attention[0], many, site, place))
            where = place(own_output.shape[1], output.shape[1])
            worst = max(worst, apart(own_output[0], output[row, where]))
        return worst

    @cached_property
    def query_and_key(self) -> float | None:
        """The softmax of query times key against the attention; None where there are none."""
        worst = 0.0
        try:
            for site, event in self.events.items():
                worst = max(worst, self._of_products(site, event))
        except CaptureError:
            return None
        return worst

    def _of_products(self, site: Site, event: Event) -> float:
        scores = event.query.double() @ event.key.double().mT
        # Some models scale their queries beforehand, some by a number of their own.
        own = getattr(self.module.get_submodule(site.module), "scaling", 1.0)
        hidden, real = ~event.visible, self.real(scores.shape[2])
        return min(
            most(
                (
                    (scores * scale).masked_fill(hidden, -torch.inf).softmax(-1) - event.attention
                ).abs(),
                real,
            )
            for scale in (1.0, own, event.query.shape[-1] ** -0.5)
        )

    @cached_property
    def contribution(self) -> str:
        """Whether what each head adds to the residual stream is defined."""
        try:
            for site in self.sites:
                output_weights(self.module, site)
        except CaptureError:
            return "no"
        return "yes"


def _at(site: Site, make: type[Hook], **edits: Callable[[Event], Tensor]) -> Hook:
    """A hook whose edit acts at one site."""
    ((name, edit),) = edits.items()
    same = {"edit_attention": "attention", "edit_output": "head_output"}[name]
    return make(**{name: lambda e: edit(e) if e.site == site else getattr(e, same)})
