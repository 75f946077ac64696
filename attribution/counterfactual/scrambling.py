"""Counterfactual attention inside the transformer: does it matter which map a head has?"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...capture import Batch, collate, find_sites, hooked
from ...capture.places import one_of_a_kind
from ...capture.restart import recording, restart_blocks, skipping
from ...errors import AttributionError
from ..goals import Goal
from ..running import stream_with
from ..targets import Prepared
from .maps import DRAWN, MAPS, Scrambler, maps_of, partners, text_numbers
from .outputs import distance, output_metric, read_output

SCOPES = ("all", "layer", "head")
#: Draws of maps that are random, averaged.
DRAWS = 5


@dataclass(frozen=True)
class Cell:
    """Which heads are changed at once."""

    scope: str
    """`all`, `layer` or `head`."""
    layer: int | None
    head: int | None


@dataclass(frozen=True)
class Changes:
    """How far the output moves; NaN where a text has no such map, or the map only one draw."""

    metric: str
    """`total_variation`, `cosine_distance` or `absolute_change`."""
    cells: tuple[Cell, ...]
    maps: tuple[str, ...]
    scrambled: np.ndarray
    """(text, cell, map, draw), with other attention."""
    noise: np.ndarray
    """(text, cell, map, draw), the baseline: each head output that the other attention moved is
    moved as far in a random direction instead, row by row."""


def scramble(
    model: Any,
    prepared: Prepared,
    *,
    scopes: Sequence[str] = SCOPES,
    maps: Sequence[str] = MAPS,
    draws: int = DRAWS,
    seed: int = 0,
) -> Changes:
    """Give the heads other attention and measure how far the output moves, text by text.

    After Jain & Wallace 2019 (section 4.2.1), who permute the one attention of a recurrent
    classifier, its states held fixed; here the change goes through all later layers.

    Args:
        scopes: whose attention is replaced at once: that of `all` heads, of those of one
            `layer`, of one `head`.
        maps: `permuted` (each row over its visible keys), `uniform`, `other` (the maps that
            another of the texts, with as many tokens, has in the same heads), `random` (each row
            drawn from a flat Dirichlet distribution).
        draws: of `permuted` and `random`.
        seed: a draw depends on it and on the text, not on what else is in the batch.

    Raises:
        AttributionError: an unknown scope or map, or no draw.
        CaptureError: attention that cannot be reached, or is of several kinds.
    """
    _check("scopes", scopes, SCOPES)
    _check("maps", maps, MAPS)
    if draws < 1:
        raise AttributionError(f"draws is {draws}; give at least 1.")
    encodings, goals = prepared.encodings, prepared.goals
    sites = find_sites(model.module)
    one_of_a_kind(sites)
    cells = [cell for cell in _cells({s.layer: s.heads for s in sites}) if cell.scope in scopes]
    chosen = partners(encodings, seed)
    run = _Run(
        model, output_metric(model, goals), cells, list(maps), draws, seed,
        restart_blocks(model.module),
    )  # fmt: skip

    def run_batch(batch: Batch, own: list[tuple[Goal, int | None]]) -> list[np.ndarray]:
        alone = [partner is None for _, partner in own]
        donors = {}
        if "other" in maps:
            # As long as the text itself, so that the maps are of the same padded size.
            others = [
                encoding if partner is None else encodings[partner]
                for encoding, (_, partner) in zip(batch.encodings, own, strict=True)
            ]
            donors = maps_of(model, collate(others, model))
        values = run.on(batch, [goal for goal, _ in own], donors)
        if "other" in maps:
            values[:, alone, :, list(maps).index("other")] = np.nan
        return list(np.moveaxis(values, 1, 0))

    both = list(zip(goals, chosen, strict=True))
    found = np.stack(
        stream_with(model, encodings, both, run_batch, description="counterfactual attention")
    )
    return Changes(run.metric, tuple(cells), tuple(maps), found[:, 0], found[:, 1])


def _check(name: str, given: Sequence[str], legal: Sequence[str]) -> None:
    if isinstance(given, str) or not given or set(given) - set(legal):
        raise AttributionError(f"{name} is {given!r}; give a list of any of {', '.join(legal)}.")


def _cells(heads: dict[int, int]) -> Iterator[Cell]:
    """Every cell, those that start in one layer together."""
    yield Cell("all", None, None)
    for layer, count in heads.items():
        yield Cell("layer", layer, None)
        for head in range(count):
            yield Cell("head", layer, head)


@contextmanager
def _selected(heads: list[Tensor], cell: Cell) -> Iterator[None]:
    """Inside the block the heads of the cell are marked, in place."""
    layers = range(len(heads)) if cell.layer is None else [cell.layer]
    for layer in layers:
        heads[layer][slice(None) if cell.head is None else cell.head] = True
    try:
        yield
    finally:
        for layer in layers:
            heads[layer][:] = False


@dataclass(frozen=True)
class _Run:
    """What is done with each batch."""

    model: Any
    metric: str
    cells: list[Cell]
    maps: list[str]
    draws: int
    seed: int
    blocks: list[Any]

    def on(self, batch: Batch, goals: list[Goal], donors: dict[int, Tensor]) -> np.ndarray:
        """(scrambled or noise, text, cell, map, draw)."""
        module, device = self.model.module, batch.mask.device
        shape = (2, len(batch), len(self.cells), len(self.maps), self.draws)
        values = np.full(shape, np.nan, dtype=np.float32)
        sites = find_sites(module)
        # Some models attend by softmax in some layers only.
        heads = [torch.zeros(0, dtype=torch.bool)] * (max(site.layer for site in sites) + 1)
        for site in sites:
            heads[site.layer] = torch.zeros(site.heads, dtype=torch.bool, device=device)
        scrambler = Scrambler(text_numbers(batch.encodings).to(device), donors, heads)
        with torch.no_grad(), hooked(module, scrambler.hook()):
            with recording(module, self.blocks) as passes:
                base = read_output(self.model, batch, goals)
            for number, cell in enumerate(self.cells):
                with self._restarted(passes, cell), _selected(heads, cell):
                    for place, name in enumerate(self.maps):
                        scrambler.norms.clear()
                        for draw in range(self.draws):
                            scrambler.map, scrambler.seed = name, f"{self.seed} {name} {draw}"
                            for kind, noise in enumerate((False, True)):
                                if draw and not noise and name not in DRAWN:
                                    continue
                                scrambler.noise = noise
                                output = read_output(self.model, batch, goals)
                                moved = distance(self.metric, output, base)
                                values[kind, :, number, place, draw] = moved.cpu().numpy()
        return values

    def _restarted(self, passes: list[list[Any]], cell: Cell) -> AbstractContextManager[None]:
        """Blocks before the first changed layer hand out what they returned on the intact text."""
        return skipping(self.model.module, self.blocks, passes, cell.layer or 0)
