"""One call of any module, with what its attention computed."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..errors import CaptureError
from .captured import AT_SITES
from .finite import refuse_nan
from .hooked import hooked
from .projection import contribution, output_weights
from .session import Event, Hook
from .sites import Site


@dataclass(frozen=True, repr=False)
class SiteRecord:
    """What one site computed; axes as the module has them, padding included."""

    site: Site
    keys: tuple[str, ...]
    """What each key is: `memory -1` precedes the first token."""
    attention: np.ndarray | None = None
    """(batch, head, query, key)."""
    head_output: np.ndarray | None = None
    """(batch, token, head, width)."""
    contribution: np.ndarray | None = None
    """(batch, token, head, hidden)."""
    query: np.ndarray | None = None
    """(batch, head, query, width)."""
    key: np.ndarray | None = None
    """(batch, head, key, width)."""
    value: np.ndarray | None = None
    """(batch, head, key, width)."""

    def __repr__(self) -> str:
        shapes = {name: getattr(self, name) for name in AT_SITES}
        kept = ", ".join(f"{name} {a.shape}" for name, a in shapes.items() if a is not None)
        return f"SiteRecord({self.site}: {kept})"


@dataclass(frozen=True, repr=False)
class Recording:
    """A call's output, and a record of each site in order of computation."""

    output: Any
    records: tuple[SiteRecord, ...]

    def __repr__(self) -> str:
        return f"Recording({', '.join(map(repr, self.records))})"


def record(
    module: Any,
    *arguments: Any,
    what: Sequence[str] = ("attention",),
    layers: Collection[int] | None = None,
    stacks: Collection[str] | None = None,
    kinds: Collection[str] | None = None,
    **named: Any,
) -> Recording:
    """Call a module and keep what its attention computes.

    For models with a tokenizer `capture` takes texts; this takes any torch module, with the
    arguments it is called with. Where its attention cannot be found, `declare` it first.

    Args:
        what: any of `attention`, `head_output`, `contribution`, `query`, `key`, `value`.
        layers, stacks, kinds: the sites to keep (default: all).

    Raises:
        CaptureError: an unknown quantity, or attention that cannot be reached.
    """
    if unknown := set(what) - set(AT_SITES):
        raise CaptureError(f"Cannot record {sorted(unknown)}; choose from {AT_SITES}.")
    records: list[SiteRecord] = []
    hook = Hook(layers=layers, stacks=stacks, kinds=kinds)
    with hooked(module, hook) as sites:
        chosen = [site for site in sites if hook.is_at(site)]
    weights = {
        site: output_weights(module, site) for site in chosen if "contribution" in what
    }  # fmt: skip

    def observe(event: Event) -> None:
        arrays = {name: getattr(event, name) for name in what if name != "contribution"}
        if "contribution" in what:
            arrays["contribution"] = contribution(event.head_output, weights[event.site])
        queries, keys = event.computation.visible_shape[2:]
        labels = event.site.key_labels(queries, keys)
        found = {name: a.detach().float().cpu().numpy() for name, a in arrays.items()}
        for name, array in found.items():
            refuse_nan(array, event.site, name)
        records.append(SiteRecord(event.site, labels, **found))

    keep = Hook(
        observe=observe, attention="attention" in what, layers=layers, stacks=stacks, kinds=kinds
    )
    with torch.no_grad(), hooked(module, keep):
        output = module(*arguments, **named)
    return Recording(output, tuple(records))
