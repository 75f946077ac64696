"""Switches: which parts are off in each row of a batch, and what stands in their place.

One set of hooks serves a whole study: what is off is changed between passes. The rows of a batch
are copies of its texts: all texts, then all again, each copy with other parts off.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..capture import Event, Hook, hooked
from ..capture.blocks import Blocks, hidden_of, replaced, stack_blocks
from ..capture.feedforward import find_mlps
from ..capture.places import one_of_a_kind
from ..errors import CaptureError
from .parts import Part


@dataclass
class Written:
    """What parts write in a pass, by layer; what stands in their place has the same form.

    Head outputs are (batch, query, head, width); what MLPs add and by how much whole blocks
    change the residual stream (batch, token, hidden). A stand-in may lack the leading axes.
    """

    heads: dict[int, Tensor] = field(default_factory=dict)
    mlps: dict[int, Tensor] = field(default_factory=dict)
    layers: dict[int, Tensor] = field(default_factory=dict)

    def each(self) -> Iterator[tuple[str, int, Tensor]]:
        for kind in ("heads", "mlps", "layers"):
            for layer, tensor in getattr(self, kind).items():
                yield kind, layer, tensor


@dataclass
class Switches:
    """The hooks of a study; `off` and `instead` hold for the passes to come."""

    module: Any
    parts: Sequence[Part]
    instead: Written | None = None
    """What stands in the place of what is off; None for nothing at all (zeros)."""
    even: bool = False
    """Heads that are off attend evenly to all keys they see, instead of writing nothing."""
    seen: Written | None = None
    """Where what the parts write is kept, if it is to be."""
    evenly: dict[int, Tensor] | None = None
    """Where what heads would write with even attention is kept, if it is to be."""
    copies: int = 1
    _heads: dict[int, Tensor] = field(default_factory=dict)
    _mlps: dict[int, Tensor] = field(default_factory=dict)
    _layers: dict[int, Tensor] = field(default_factory=dict)
    """By layer (copy, head) or (copy,), True where off."""

    def turn_off(self, parts: Sequence[Part], device: torch.device) -> None:
        """One part in each copy; none leaves the model intact."""
        self._heads, self._mlps, self._layers = {}, {}, {}
        self.copies = max(1, len(parts))
        wide = max((head for part in parts for _, head in part.heads), default=0) + 1
        for layer in {layer for part in parts for layer, _ in part.heads}:
            off = torch.zeros(len(parts), wide, dtype=torch.bool)
            for copy, part in enumerate(parts):
                for at, head in part.heads:
                    off[copy, head] |= at == layer
            self._heads[layer] = off.to(device)
        for name, off_layers in (("mlps", self._mlps), ("layers", self._layers)):
            for layer in {layer for part in parts for layer in getattr(part, name)}:
                off_layers[layer] = torch.tensor(
                    [layer in getattr(part, name) for part in parts], device=device
                )

    def head_output(self, layer: int, output: Tensor, even: Tensor | None) -> Tensor:
        """The head outputs with what is off replaced: (copy x text, query, head, width).

        Args:
            output: (copy or 1, text, query, head, width).
            even: the same with even attention, if that stands in.
        """
        off = self._heads.get(layer)
        if off is None:
            return output.expand(self.copies, *output.shape[1:]).flatten(0, 1)
        where = torch.zeros(self.copies, output.shape[3], dtype=torch.bool, device=output.device)
        where[:, : off.shape[1]] = off
        fill = self._fill("heads", layer, output) if even is None else even
        return torch.where(where[:, None, None, :, None], fill, output).flatten(0, 1)

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Hook the module.

        Raises:
            CaptureError: attention, blocks or MLPs that cannot be reached.
        """
        hook = Hook(edit_output=self._edit, check=one_of_a_kind)
        blocks, mlps = None, None
        if any(part.layers for part in self.parts):
            blocks = stack_blocks(self.module)
        if any(part.mlps for part in self.parts):
            mlps = find_mlps(self.module)
        if any(found is not None and found.batch_axis for found in (blocks, mlps)):
            raise CaptureError(
                f"The hidden states of {type(self.module).__name__} have tokens before texts, so "
                "layers and MLPs cannot be switched off text by text. Choose heads or attention."
            )
        with hooked(self.module, hook), ExitStack() as stack:
            if blocks is not None:
                stack.enter_context(_listening(self.module, blocks, self._block))
            if mlps is not None:
                stack.enter_context(_listening(self.module, mlps, self._mlp))
            yield

    def _edit(self, event: Event) -> Tensor:
        layer = event.site.layer
        if self.evenly is not None:
            self.evenly[layer] = _even(event)
        if self.seen is not None:
            self.seen.heads[layer] = event.head_output
        if layer not in self._heads:
            return event.head_output
        even = self._split(_even(event)) if self.even else None
        return self.head_output(layer, self._split(event.head_output), even)

    def _mlp(self, layer: int, given: Tensor, output: Any) -> Any:
        written = hidden_of(output)
        if self.seen is not None:
            self.seen.mlps[layer] = written
        if (off := self._mlps.get(layer)) is None:
            return None
        split = self._split(written)
        fill = self._fill("mlps", layer, split)
        return replaced(output, torch.where(off[:, None, None, None], fill, split).flatten(0, 1))

    def _block(self, layer: int, given: Tensor, output: Any) -> Any:
        after = hidden_of(output)
        if self.seen is not None:
            self.seen.layers[layer] = after - given
        if (off := self._layers.get(layer)) is None:
            return None
        split = self._split(after)
        without = self._split(given) + self._fill("layers", layer, split)
        return replaced(output, torch.where(off[:, None, None, None], without, split).flatten(0, 1))

    def _split(self, tensor: Tensor) -> Tensor:
        """(copy x text, …) to (copy, text, …)."""
        return tensor.unflatten(0, (self.copies, -1))

    def _fill(self, kind: str, layer: int, like: Tensor) -> Tensor:
        if self.instead is None:
            return torch.zeros((), dtype=like.dtype, device=like.device)
        return getattr(self.instead, kind)[layer].to(like)


def _even(event: Event) -> Tensor:
    """What the heads write when each query attends evenly to the keys it sees."""
    visible = event.visible.to(event.value.dtype)
    even = visible / visible.sum(-1, keepdim=True).clamp(min=1)
    return event.computation.weighed(even.expand(-1, event.site.heads, -1, -1))


@contextmanager
def _listening(module: Any, blocks: Blocks, act: Any) -> Iterator[None]:
    """Call `act` with the layer, the hidden state read and the output, at each call of a part."""
    calls: Counter[str] = Counter()

    def begin(*_: Any) -> None:
        calls.clear()

    def leave(name: str) -> Any:
        layers = [layer for layer, other in enumerate(blocks.names) if other == name]

        def hook(part: Any, arguments: Any, named: Any, output: Any) -> Any:
            layer = layers[calls[name] % len(layers)]
            calls[name] += 1
            given = arguments[0] if arguments else named.get("hidden_states")
            return act(layer, given, output)

        return hook

    with ExitStack() as stack:
        stack.callback(module.register_forward_pre_hook(begin).remove)
        for name in dict.fromkeys(blocks.names):
            part = module.get_submodule(name)
            handle = part.register_forward_hook(leave(name), with_kwargs=True)
            stack.callback(handle.remove)
        yield
