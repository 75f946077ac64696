"""Where an intervention acts: tables over layers and heads, and positions in the text."""

from collections.abc import Callable, Collection, Sequence

import torch
from torch import Tensor

from ..errors import CaptureError
from .session import Event
from .sites import Site

#: (layer, head) or (batch, layer, head); or for each layer (head,) or (batch, head).
Table = Tensor | Sequence[Tensor]
#: Query positions of every example, or (batch, query), True where to act; None for all.
Positions = Sequence[int] | Tensor | None


def row_of(table: Table, layer: int) -> Tensor:
    """What a table says of a layer: (batch, head), or (1, head) for all examples alike."""
    if isinstance(table, Tensor):
        row = table[layer] if table.dim() == 2 else table[:, layer]
    else:
        row = table[layer]
    return row if row.dim() == 2 else row.unsqueeze(0)


def row_at(table: Table, event: Event, device: torch.device) -> Tensor:
    """The row of the table for the layer of an event.

    Raises:
        CaptureError: the table is for another number of examples.
    """
    row, batch = row_of(table, event.site.layer), event.computation.visible_shape[0]
    if len(row) not in (1, batch):
        raise CaptureError(
            f"A table for {len(row)} examples was given, and the batch has {batch}; give one row "
            "an example, or a table (layer, head) for all of them."
        )
    return row.to(device)


def one_of_a_kind(sites: tuple[Site, ...]) -> None:
    """Layers are counted within one stack and one kind of attention.

    Raises:
        CaptureError: the sites are of several.
    """
    kinds = list(dict.fromkeys((site.stack, site.kind) for site in sites))
    if len(kinds) > 1:
        names = ", ".join(f"{stack} {kind}" for stack, kind in kinds)
        raise CaptureError(
            f"The model has several kinds of attention ({names}), each with layers of its own, "
            "and this intervention counts the layers of one; say which with stack= and kind=, and "
            "give several interventions to act on several."
        )


def fits(table: Table, layers: Collection[int] | None = None) -> Callable[[tuple[Site, ...]], None]:
    """A check that a table has a row for each layer and an entry for each head.

    Args:
        layers: those that the intervention is limited to; the table then has at least these.
    """

    def check(sites: tuple[Site, ...]) -> None:
        one_of_a_kind(sites)
        if isinstance(table, Tensor) and table.dim() not in (2, 3):
            raise CaptureError(
                f"A table of shape {tuple(table.shape)} was given; expected (layer, head) or "
                "(batch, layer, head), or a list with one tensor a layer."
            )
        given = table.shape[-2] if isinstance(table, Tensor) else len(table)
        needed = max(site.layer for site in sites) + 1
        if given < needed or (given > needed and layers is None):
            raise CaptureError(f"A table of {given} layers was given; the model has {needed}.")
        for site in sites:
            heads = row_of(table, site.layer).shape[-1]
            if heads != site.heads:
                raise CaptureError(
                    f"A table with {heads} heads was given for {site}, which has {site.heads}; "
                    "where layers differ in their heads, give a list with one tensor a layer."
                )

    return check


def chosen(event: Event, heads: Table | None, positions: Positions, device: torch.device) -> Tensor:
    """(batch or 1, head or 1, query or 1), True where to act."""
    where = torch.ones(1, 1, 1, dtype=torch.bool, device=device)
    if heads is not None:
        where = row_at(heads, event, device).bool()[:, :, None]
    if positions is not None:
        batch, _, queries, _ = event.computation.visible_shape
        where = where & at_positions(positions, batch, queries, device)[:, None]
    return where


def at_positions(
    positions: Sequence[int] | Tensor, batch: int, length: int, device: torch.device
) -> Tensor:
    """(batch or 1, query), True at the positions.

    Raises:
        CaptureError: a position outside the text, or a mask of another shape.
    """
    if isinstance(positions, Tensor) and positions.dtype == torch.bool:
        if positions.dim() != 2 or positions.shape[1] != length or len(positions) not in (1, batch):
            raise CaptureError(
                f"Positions of shape {tuple(positions.shape)} were given; expected "
                f"{(batch, length)} (batch, query), or a list of positions."
            )
        return positions.to(device)
    listed = [int(place) for place in torch.as_tensor(positions).flatten()]
    if outside := [place for place in listed if not 0 <= place < length]:
        raise CaptureError(
            f"The positions {outside} do not exist; they go from 0 to {length - 1}, padding "
            "included."
        )
    where = torch.zeros(1, length, dtype=torch.bool, device=device)
    where[0, listed] = True
    return where


def real_rows(event: Event) -> Tensor | None:
    """(batch, query), True where a query is no padding; None where the mask does not tell."""
    _, _, queries, keys = event.computation.visible_shape
    if event.site.kind != "self" or queries != keys:
        return None
    # A token is real if some query may look at it.
    return event.visible[:, 0].any(1)
