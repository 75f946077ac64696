"""Restarting inside attention: from the head outputs of a block, without computing them again.

The module that computes attention is replaced, for a while, by one that makes of given head
outputs what the module makes of its own. Whether that is all it does is seen on a small padded
batch; a model of which it is not true computes the attention of its block anew.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .blocks import hidden_of, replaced
from .hooked import hooked
from .mode import trial_mode
from .projection import projection_of
from .restart import (
    MISSING,
    place_of,
    recording,
    repeated,
    restart_blocks,
    restore,
    skipping,
)
from .session import Event, Hook
from .sites import Site, find_sites
from .ways.trial import Trial, trial_of

#: Rounding between a batch and the same batch twice over, relative to the largest output.
_ROUNDING = 1e-4


@dataclass(frozen=True)
class Shortcut:
    """How the attention module of a layer makes its output of the head outputs."""

    part: Any
    """The module that is replaced."""
    projection: Any | None
    """What it sends them through; None if it returns them as they are."""

    def output(self, given: Tensor, recorded: Any) -> Any:
        """What the module returns for head outputs (batch, query, head, width).

        Args:
            recorded: what it returned for the batch, or for the same batch once.
        """
        flat = given.flatten(2)
        hidden = flat if self.projection is None else self.projection(flat)
        copies = len(hidden) // len(hidden_of(recorded))
        return replaced(repeated(recorded, copies) if copies > 1 else recorded, hidden)


@dataclass(frozen=True)
class Restarts:
    """Where passes of a model can be taken up again."""

    blocks: list[Any]
    """From `restart_blocks`; empty: passes run whole."""
    shortcuts: dict[int, Shortcut] = field(default_factory=dict)
    """By layer, where a pass can be taken up at the head outputs."""
    packs: bool = False
    """Whether a restarted batch may hold the recorded one several times."""


@contextmanager
def jumping(shortcut: Shortcut, recorded: Any, given: Tensor) -> Iterator[None]:
    """Let the attention module return what it makes of the given head outputs."""
    own = shortcut.part.__dict__.get("forward")
    shortcut.part.forward = lambda *arguments, **options: shortcut.output(given, recorded)
    try:
        yield
    finally:
        restore(shortcut.part, own)


@contextmanager
def attention_outputs(shortcuts: dict[int, Shortcut]) -> Iterator[dict[int, Any]]:
    """Keep what the attention module of each layer returns; yields what is filled."""
    kept: dict[int, Any] = {}
    with ExitStack() as stack:
        for layer, shortcut in shortcuts.items():

            def keep(part: Any, arguments: Any, output: Any, layer: int = layer) -> None:
                kept[layer] = output

            stack.callback(shortcut.part.register_forward_hook(keep).remove)
        yield kept


def find_restarts(module: Any) -> Restarts:
    """Prove on the trial batch where passes can be taken up again."""
    blocks, sites = restart_blocks(module), find_sites(module)
    if not blocks or len({(site.stack, site.kind) for site in sites}) > 1:
        return Restarts(blocks, packs=not blocks)
    trial = _Trials(module, blocks)
    shortcuts, packs = {}, True
    with trial_mode(module):
        for site in sites:
            # As in a sweep, a session is open, which must bear that attention is not computed.
            changed = trial.outputs[site].clone()
            changed[:, :, 0] = 0
            with hooked(module, _instead(site, changed)):
                whole = trial.once.run(module)
                shortcut = trial.shortcut(site)
                if shortcut and trial.equals(whole, site, shortcut, changed, copies=1):
                    shortcuts[site.layer] = shortcut
                packs = packs and trial.equals(
                    whole, site, shortcuts.get(site.layer), changed, copies=2
                )
    return Restarts(blocks, shortcuts, packs)


class _Trials:
    """The trial batch, once and twice over, and what an intact pass of it left."""

    def __init__(self, module: Any, blocks: Sequence[Any]) -> None:
        self.module, self.blocks = module, blocks
        self.once = trial_of(module)
        self.twice = Trial(repeated(self.once.arguments, 2), repeated(self.once.named, 2))
        self.outputs: dict[Site, Tensor] = {}
        parts = {
            site.layer: Shortcut(module.get_submodule(site.module), None)
            for site in find_sites(module)
        }
        with (
            trial_mode(module),
            hooked(module, Hook(observe=self._observe, attention=False)),
            recording(module, blocks) as self.passes,
            attention_outputs(parts) as self.returned,
        ):
            self.once.run(module)

    def _observe(self, event: Event) -> None:
        self.outputs[event.site] = event.head_output

    def shortcut(self, site: Site) -> Shortcut | None:
        """What the attention module seems to do with the head outputs."""
        part, projection = self.module.get_submodule(site.module), projection_of(self.module, site)
        flat = self.outputs[site].flatten(2)
        try:
            if torch.equal(hidden_of(self.returned[site.layer]), flat):
                return Shortcut(part, None)
            if isinstance(projection, torch.nn.Module) and any(
                inner is projection for inner in part.modules()
            ):
                return Shortcut(part, projection)
        except MISSING:
            pass
        return None

    def equals(
        self, whole: Tensor, site: Site, shortcut: Shortcut | None, changed: Tensor, *, copies: int
    ) -> bool:
        """Whether a restarted pass gives what a whole one gave, in every copy."""
        place = place_of(self.module, self.blocks, site)
        trial = self.once if copies == 1 else self.twice
        try:
            with (
                skipping(self.module, self.blocks, self.passes, place, copies=copies),
                ExitStack() as stack,
            ):
                given = changed.repeat(copies, 1, 1, 1)
                if shortcut is not None:
                    stack.enter_context(jumping(shortcut, self.returned[site.layer], given))
                found = trial.run(self.module)
        except MISSING as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            return False
        if copies == 1:
            return torch.equal(found, whole)
        slack = _ROUNDING * max(1.0, whole.abs().max().item())
        wanted = whole.repeat(copies, *[1] * (whole.dim() - 1))
        return found.shape == wanted.shape and torch.allclose(found, wanted, rtol=0, atol=slack)


def _instead(site: Site, changed: Tensor) -> Hook:
    def edit(event: Event) -> Tensor:
        if event.site != site:
            return event.head_output
        copies = len(event.head_output) // len(changed)
        return changed.repeat(copies, 1, 1, 1)

    return Hook(edit_output=edit)
