"""How far captured tensors are from each other."""

from collections.abc import Callable

from torch import Tensor

from bertology.capture import Site


def part_apart(
    alone: Tensor, many: Tensor, site: Site, place: Callable[[int, int], slice]
) -> float:
    """One text's map (head, query, key) against its part of the map of a padded batch."""
    if site.memory:  # summaries stand before the tokens
        extra, more = alone.shape[2] - alone.shape[1], many.shape[2] - many.shape[1]
        apart = (alone[:, :, :extra] - many[:, : alone.shape[1], :extra]).abs().max().item()
        return max(apart, _tokens_apart(alone[:, :, extra:], many[:, :, more:], place))
    return _tokens_apart(alone, many, place)


def _tokens_apart(alone: Tensor, many: Tensor, place: Callable[[int, int], slice]) -> float:
    queries, keys = map(place, alone.shape[1:], many.shape[1:])
    return (alone - many[:, queries, keys]).abs().max().item()


def apart(one: Tensor, other: Tensor) -> float:
    one, other = one.double(), other.double()
    return ((one - other).abs().max() / other.abs().max().clamp(min=1)).item()


def most(distance: Tensor, real: Tensor) -> float:
    """The largest at real rows; axes (text, head, row, …)."""
    return distance.transpose(1, 2)[real].max().item()
