"""What capturing keeps of one text."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..corpora import Encoding
from ..errors import CaptureError

#: What can be kept at each attention site, and of the model as a whole.
AT_SITES = ("attention", "head_output", "contribution", "query", "key", "value")
OF_THE_MODEL = ("hidden_states", "logits")
QUANTITIES = (*AT_SITES, *OF_THE_MODEL)


@dataclass(frozen=True, repr=False)
class Part:
    """The attention of one kind in one stack; what was not asked for is None."""

    stack: str
    """`encoder` or `decoder`."""
    kind: str
    """`self` or `cross`."""
    layers: tuple[int, ...]
    """The layers that axis 0 of every array stands for."""
    heads: tuple[int, ...]
    """The heads that the axis `head` stands for; where layers differ in their heads (pruned
    models), arrays are NaN at those that a layer does not have."""
    queries: tuple[int, ...]
    """The positions that the axis `query` stands for."""
    keys: tuple[str, ...]
    """What each key is."""
    attention: np.ndarray | None = None
    """(layer, head, query, key); rows sum to 1 over `key`."""
    head_output: np.ndarray | None = None
    """(layer, query, head, width), before the output projection."""
    contribution: np.ndarray | None = None
    """(layer, query, head, hidden): what each head adds to the residual stream, without bias."""
    query: np.ndarray | None = None
    """(layer, head, query, width), as it meets the keys (after rotation, say)."""
    key: np.ndarray | None = None
    """(layer, head, key, width); shared heads are repeated."""
    value: np.ndarray | None = None
    """(layer, head, key, width); shared heads are repeated."""

    def __repr__(self) -> str:
        return f"{self.stack} {self.kind} ({_shapes(self, AT_SITES)})"


@dataclass(frozen=True, repr=False)
class Captured:
    """What was asked for on one text; the rest is None. Padding is never part of it.

    A model of one stack has one part, whose arrays are at hand as `captured.attention` and so
    on; of an encoder-decoder model take `captured.part("decoder", "cross")`.
    """

    encoding: Encoding
    parts: tuple[Part, ...]
    hidden_states: np.ndarray | None = None
    """(layers + 1, token, hidden); 0 is the embeddings, k+1 the output of block k before any
    final norm. Of an encoder-decoder model: the encoder's."""
    decoder_hidden_states: np.ndarray | None = None
    """The same of a decoder that follows an encoder."""
    logits: np.ndarray | None = None
    """(token, vocabulary), or (class,) of a classifier; of an encoder-decoder model, of the
    target's tokens."""
    target_tokens: tuple[str, ...] = ()
    """What a decoder read after the encoder."""

    @property
    def tokens(self) -> tuple[str, ...]:
        return self.encoding.tokens

    def part(self, stack: str, kind: str = "self") -> Part:
        """The attention of one kind in one stack.

        Raises:
            CaptureError: there is none.
        """
        return part_of(self.parts, stack, kind)

    @property
    def _only(self) -> Part:
        if len(self.parts) != 1:
            raise CaptureError(
                f"The model has {len(self.parts)} kinds of attention; say which: "
                + " or ".join(f".part({p.stack!r}, {p.kind!r})" for p in self.parts)
            )
        return self.parts[0]

    @property
    def layers(self) -> tuple[int, ...]:
        return self._only.layers

    @property
    def heads(self) -> tuple[int, ...]:
        """The heads that the axis `head` stands for."""
        return self._only.heads

    @property
    def queries(self) -> tuple[int, ...]:
        """The positions that the axis `query` stands for."""
        return self._only.queries

    @property
    def attention(self) -> np.ndarray | None:
        """(layer, head, query, key); rows sum to 1 over `key`."""
        return self._only.attention

    @property
    def head_output(self) -> np.ndarray | None:
        """(layer, query, head, width), before the output projection."""
        return self._only.head_output

    @property
    def contribution(self) -> np.ndarray | None:
        """(layer, query, head, hidden), the head output times its slice of W_O."""
        return self._only.contribution

    def __repr__(self) -> str:
        kept = [repr(part) for part in self.parts]
        whole = _shapes(self, OF_THE_MODEL)
        text = self.encoding.sentence.text
        text = text if len(text) <= 40 else f"{text[:39]}…"
        return f"Captured({text!r}, {len(self.tokens)} tokens: {', '.join([*kept, whole])})"


def part_of(parts: tuple[Part, ...], stack: str, kind: str) -> Part:
    """The attention of one kind in one stack.

    Raises:
        CaptureError: there is none.
    """
    for part in parts:
        if (part.stack, part.kind) == (stack, kind):
            return part
    there = ", ".join(f"({part.stack!r}, {part.kind!r})" for part in parts)
    raise CaptureError(f"There is no part ({stack!r}, {kind!r}); captured were {there}.")


def stacked(layers: Sequence[np.ndarray]) -> np.ndarray:
    """Arrays of the layers on a new first axis, with NaN for heads that a layer does not have."""
    shapes = [layer.shape for layer in layers]
    if len(set(shapes)) == 1:
        return np.stack(layers)
    whole = np.full((len(layers), *np.max(shapes, axis=0)), np.nan, dtype=layers[0].dtype)
    for row, layer in zip(whole, layers, strict=True):
        row[tuple(slice(size) for size in layer.shape)] = layer
    return whole


def _shapes(holder: Part | Captured, names: tuple[str, ...]) -> str:
    arrays = {name: getattr(holder, name) for name in names}
    return ", ".join(f"{name} {a.shape}" for name, a in arrays.items() if a is not None)
