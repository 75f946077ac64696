"""Axes: between the order a model keeps and (batch, head, query, key)."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """How the attention, value and output of a product lie, and back.

    Each field is the shape of a model's tensor as letters: b batch, h head, q query, k key,
    d width; `bh` in one bracket means that both share an axis.
    """

    map: str
    values: str
    outputs: str
    heads: int
    """Heads, where an axis holds batch and head together."""

    @staticmethod
    def pooled(keep: bool) -> "Layout":
        """(weights (b, k, 1) * values (b, k, d)).sum(1): one row and one head."""
        return Layout("bkq", "bkd", "bqd" if keep else "bd", 1)

    def attention(self, tensor: Tensor) -> Tensor:
        """To (batch, head, query, key)."""
        return _to(tensor, self.map, "bhqk", self.heads)

    def attention_back(self, tensor: Tensor) -> Tensor:
        return _back(tensor, self.map, "bhqk")

    def value(self, tensor: Tensor) -> Tensor:
        """To (batch, head, key, width)."""
        return _to(tensor, self.values, "bhkd", self.heads)

    def output(self, tensor: Tensor) -> Tensor:
        """To (batch, query, head, width)."""
        return _to(tensor, self.outputs, "bqhd", self.heads)

    def output_back(self, tensor: Tensor) -> Tensor:
        return _back(tensor, self.outputs, "bqhd")


def layout_of(
    attention: Tensor,
    value: Tensor,
    batch: int,
    equation: str | None,
    place: int,
    declared: str | None,
) -> Layout | None:
    """The layout of a product of attention and something, or None if it is no attention.

    Args:
        equation: of an einsum; None for a matrix product.
        place: which factor of the equation the attention is.
        declared: the letters of the attention's axes as a user declared them.
    """
    if equation is not None:
        return _of_equation(attention, equation.replace(" ", ""), place, batch, declared)
    if attention.dim() == 4:
        return Layout("bhqk", "bhkd", "bhqd", attention.shape[1])
    if attention.dim() == 3 and batch and attention.shape[0] % batch == 0:
        heads = attention.shape[0] // batch
        return Layout("*qk", "*kd", "*qd", heads) if value.dim() == 3 else None
    return None


def _of_equation(
    attention: Tensor, equation: str, place: int, batch: int, declared: str | None
) -> Layout | None:
    factors, _, output = equation.partition("->")
    names = factors.split(",")
    mine, other = names[place], names[1 - place]
    summed = [x for x in mine if x in other and x not in output]
    width = [x for x in other if x in output and x not in mine]
    if len(summed) != 1 or len(width) != 1 or "." in equation:
        return None
    if declared is not None and len(declared) == len(mine):
        letters = dict(zip(mine, declared, strict=True))
    else:
        rows = [x for x in mine if x in output and x not in other]
        rest = [x for x in mine if x not in (*summed, *rows)]
        if len(rows) > 1 or not 1 <= len(rest) <= 2:
            return None
        letters = {summed[0]: "k", **dict.fromkeys(rows, "q")}
        letters |= dict(zip(rest, "bh", strict=False))
    letters[width[0]] = "d"
    heads = attention.shape[mine.index(_letter(letters, "h"))] if "h" in letters.values() else 1
    map_, values, outputs = ("".join(letters[x] for x in name) for name in (mine, other, output))
    return Layout(map_, values, outputs, heads)


def _letter(letters: dict[str, str], wanted: str) -> str:
    return next(own for own, meaning in letters.items() if meaning == wanted)


def _to(tensor: Tensor, own: str, wanted: str, heads: int) -> Tensor:
    """Reorder axes; `*` is batch and head in one, an axis that is missing gets length 1."""
    if own[0] == "*":
        tensor, own = tensor.unflatten(0, (-1, heads)), "bh" + own[1:]
    present = [axis for axis in wanted if axis in own]
    tensor = tensor.permute([own.index(axis) for axis in present])
    for place, axis in enumerate(wanted):
        if axis not in own:
            tensor = tensor.unsqueeze(place)
    return tensor


def _back(tensor: Tensor, own: str, wanted: str) -> Tensor:
    single = own.replace("*", "bh")
    for place in _missing(single, wanted):
        tensor = tensor.squeeze(place)
    present = [axis for axis in wanted if axis in single]
    tensor = tensor.permute([present.index(axis) for axis in single])
    # Models go on with `view`, which needs the memory in the order of the axes.
    return (tensor.flatten(0, 1) if own[0] == "*" else tensor).contiguous()


def _missing(own: str, wanted: str) -> Sequence[int]:
    """Places of the axes that were added, last first, so that squeezing moves none."""
    return [place for place, axis in enumerate(wanted) if axis not in own][::-1]
