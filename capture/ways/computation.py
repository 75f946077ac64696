"""One attention computation, of which only what is asked for is computed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from torch import Tensor

from ...errors import CaptureError
from .masks import Index, Mask
from .products import pick, repeated, seen, weigh

#: Eager attention: query, key, value, additive mask, and the rows, keys and heads they are,
#: to (output (batch, row, head, width), attention (batch, head, row, key)).
Eager = Callable[
    [Tensor, Tensor, Tensor, Tensor | None, Index, slice, Index], tuple[Tensor, Tensor]
]


@dataclass(frozen=True)
class Block:
    """Some rows of attention, complete but for keys that none of these rows can see."""

    rows: slice
    keys: slice
    attention: Tensor
    """(batch, head, row, key)."""
    visible: Tensor
    """(batch, 1, row, key)."""


class Computation(Protocol):
    """What every way into attention gives."""

    @property
    def query(self) -> Tensor: ...
    @property
    def key(self) -> Tensor: ...
    @property
    def value(self) -> Tensor: ...
    @property
    def attention(self) -> Tensor: ...
    @property
    def visible(self) -> Tensor: ...
    @property
    def visible_shape(self) -> tuple[int, ...]: ...
    @property
    def mask_key(self) -> object: ...

    @property
    def memory(self) -> tuple[tuple[str, int], ...]: ...
    @property
    def rounding(self) -> float: ...

    head_output: Tensor

    def replace_attention(self, attention: Tensor) -> None: ...

    def weighed(self, attention: Tensor) -> Tensor: ...

    def selected(self, heads: Sequence[int] | None, queries: Sequence[int] | None) -> Block: ...

    def blocks(self, size: int) -> Iterator[Block]: ...


class Kernel:
    """A computation of which query, key, value and mask are known.

    The head output comes from the fast kernel, unless attention was formed for every row: then
    it is the output that belongs to that attention.
    """

    memory: tuple[tuple[str, int], ...] = ()
    rounding = 0.0

    def __init__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Mask,
        eager: Eager,
        fast: Callable[[], Tensor],
        *,
        cuts_heads: bool = True,
    ) -> None:
        self.query = query
        self.shared_key, self.shared_value = key, value
        self.mask = mask
        self.eager = eager
        self.fast = fast
        self.cuts_heads = cuts_heads
        self._attention: Tensor | None = None
        self._head_output: Tensor | None = None

    @cached_property
    def key(self) -> Tensor:
        """(batch, head, key, width); shared key heads are repeated."""
        return repeated(self.shared_key, self.query.shape[1])

    @cached_property
    def value(self) -> Tensor:
        """(batch, head, key, width); shared value heads are repeated."""
        return repeated(self.shared_value, self.query.shape[1])

    @property
    def visible(self) -> Tensor:
        return self.mask.visible

    @property
    def visible_shape(self) -> tuple[int, ...]:
        return self.mask.shape

    @property
    def mask_key(self) -> object:
        return self.mask.recipe

    @property
    def attention(self) -> Tensor:
        """(batch, head, query, key)."""
        if self._attention is None:
            rows, keys = slice(0, self.query.shape[2]), slice(0, self.shared_key.shape[2])
            output, self._attention = self._eager(rows, keys, self.visible)
            # An output that is known may have been edited.
            if self._head_output is None:
                self._head_output = output
        return self._attention

    @property
    def known_attention(self) -> Tensor | None:
        """The attention if it was formed, for models that hand it on."""
        return self._attention

    @property
    def head_output(self) -> Tensor:
        """(batch, query, head, width)."""
        if self._head_output is None:
            self._head_output = self.fast()
        return self._head_output

    @head_output.setter
    def head_output(self, output: Tensor) -> None:
        self._head_output = output

    def replace_attention(self, attention: Tensor) -> None:
        self._attention = attention
        self._head_output = self.weighed(attention)

    def weighed(self, attention: Tensor) -> Tensor:
        return weigh(attention, self.value)

    def selected(self, heads: Sequence[int] | None, queries: Sequence[int] | None) -> Block:
        """Chosen heads and query positions, computed beside the fast kernel."""
        keys = slice(0, self.shared_key.shape[2])
        rows = slice(0, self.query.shape[2])
        if queries is not None:
            rows = slice(min(queries), max(queries) + 1)
        if self._attention is not None:
            return Block(rows, keys, *pick(self._attention, self.visible, heads, queries))
        visible = self.mask.visible_rows(rows)
        places: Index = rows
        if queries is not None:
            visible = visible[:, :, [query - rows.start for query in queries]]
            places = list(queries)
        computed = self._whole_groups(heads)
        _, attention = self._eager(places, keys, visible, computed)
        if heads is not None:
            attention = attention[:, [computed.index(head) for head in heads]]
            visible = visible[:, list(heads)] if visible.shape[1] > 1 else visible
        return Block(rows, keys, attention, visible)

    def blocks(self, size: int) -> Iterator[Block]:
        """Attention in blocks of rows; the head output is put together on the way."""
        length = self.query.shape[2]
        if self._attention is not None or length <= size:
            yield from cut(self.attention, self.visible, size)
            return
        whole: Tensor | None = None
        for start in range(0, length, size):
            rows = slice(start, min(start + size, length))
            visible = self.mask.visible_rows(rows)
            keys = seen(visible)
            output, attention = self._eager(rows, keys, visible)
            # One tensor from the start: parts kept between blocks that grow pin what they leave.
            if whole is None:
                whole = output.new_empty(output.shape[0], length, *output.shape[2:])
            whole[:, rows] = output
            yield Block(rows, keys, attention, visible[..., keys])
            del attention
        if self._head_output is None:
            self._head_output = whole

    def _whole_groups(self, heads: Sequence[int] | None) -> list[int]:
        """The query heads to compute: those that share their key with a chosen one."""
        count, shared = self.query.shape[1], self.query.shape[1] // self.shared_key.shape[1]
        if heads is None or not self.cuts_heads:
            return list(range(count))
        groups = {head // shared for head in heads}
        return [head for head in range(count) if head // shared in groups]

    def _eager(
        self, rows: Index, keys: slice, visible: Tensor, heads: list[int] | None = None
    ) -> tuple[Tensor, Tensor]:
        shared = self.query.shape[1] // max(1, self.shared_key.shape[1])
        query, key, value = self.query, self.shared_key, self.shared_value
        chosen: Index = slice(0, query.shape[1])
        if heads is not None and len(heads) < query.shape[1]:
            chosen, groups = heads, sorted({head // shared for head in heads})
            query, key, value = query[:, heads], key[:, groups], value[:, groups]
        return self.eager(
            query[:, :, rows],
            key[:, :, keys],
            value[:, :, keys],
            self.mask.additive(rows, keys, chosen, visible),
            rows,
            keys,
            chosen,
        )


class Given:
    """A computation whose attention the model's own code has formed already."""

    memory: tuple[tuple[str, int], ...] = ()
    """Kinds of keys that precede the text's own, and how many there can be of each."""
    rounding = 0.0
    """How far the model's own arithmetic leaves rows from a sum of 1."""

    def __init__(
        self,
        attention: Tensor,
        value: Callable[[], Tensor],
        head_output: Callable[[Tensor], Tensor],
        visible: Callable[[], Tensor],
    ) -> None:
        self._attention = attention
        self._value = value
        self._multiply = head_output
        self._visible = visible
        self._head_output: Tensor | None = None

    @property
    def query(self) -> Tensor:
        raise CaptureError(
            "Query and key are not available at this site: the model forms attention in code of "
            "its own. Attention, value and head output are."
        )

    key = query

    @cached_property
    def value(self) -> Tensor:
        """(batch, head, key, width)."""
        return self._value()

    @property
    def attention(self) -> Tensor:
        """(batch, head, query, key)."""
        return self._attention

    @cached_property
    def visible(self) -> Tensor:
        """(batch, 1, query, key)."""
        return self._visible()

    @property
    def visible_shape(self) -> tuple[int, ...]:
        batch, _, queries, keys = self.attention.shape
        return batch, 1, queries, keys

    mask_key: object = None

    @property
    def head_output(self) -> Tensor:
        """(batch, query, head, width)."""
        if self._head_output is None:
            self._head_output = self._multiply(self.attention)
        return self._head_output

    @head_output.setter
    def head_output(self, output: Tensor) -> None:
        self._head_output = output

    def replace_attention(self, attention: Tensor) -> None:
        self._attention = attention
        self._head_output = None

    def weighed(self, attention: Tensor) -> Tensor:
        """The head output (batch, query, head, width) that belongs to an attention."""
        return weigh(attention, self.value)

    def selected(self, heads: Sequence[int] | None, queries: Sequence[int] | None) -> Block:
        rows, keys = (slice(0, n) for n in self.attention.shape[-2:])
        if queries is not None:
            rows = slice(min(queries), max(queries) + 1)
        return Block(rows, keys, *pick(self.attention, self.visible, heads, queries))

    def blocks(self, size: int) -> Iterator[Block]:
        return cut(self.attention, self.visible, size)


def cut(attention: Tensor, visible: Tensor, size: int) -> Iterator[Block]:
    """A whole map as blocks of rows."""
    keys = slice(0, attention.shape[-1])
    for start in range(0, attention.shape[-2], size):
        rows = slice(start, min(start + size, attention.shape[-2]))
        yield Block(rows, keys, attention[:, :, rows], visible[:, :, rows])
