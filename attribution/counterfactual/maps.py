"""Other attention maps for the heads of a model, drawn the same whatever the batch."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...capture import Batch, Event, Hook, hooked
from ...capture.places import real_rows
from ...capture.shuffle import hashed, places, shuffled
from ...corpora import Encoding

MAPS = ("permuted", "uniform", "other", "random")
#: Maps of which there are several draws.
DRAWN = ("permuted", "random")


def text_numbers(encodings: Sequence[Encoding]) -> Tensor:
    """(text,) a number that depends on the tokens of a text alone."""
    return torch.tensor([zlib.crc32(np.ascontiguousarray(e.ids).tobytes()) for e in encodings])


def partners(encodings: Sequence[Encoding], seed: int) -> list[int | None]:
    """For each text, another one with as many tokens; None where there is none.

    Texts of the same tokens are not each other's partner.
    """
    numbers = text_numbers(encodings).tolist()
    lengths = np.array([len(encoding) for encoding in encodings])
    chosen: list[int | None] = []
    for number, encoding in enumerate(encodings):
        same = [
            n for n in np.flatnonzero(lengths == len(encoding)) if numbers[n] != numbers[number]
        ]
        generator = np.random.default_rng([seed, numbers[number]])
        chosen.append(int(generator.choice(same)) if same else None)
    return chosen


def run_with_maps(module: Any, inputs: dict[str, Tensor]) -> tuple[Any, dict[int, Tensor]]:
    """What the module returns, and the attention of every layer, (batch, head, query, key)."""
    found: dict[int, Tensor] = {}

    def observe(event: Event) -> None:
        found[event.site.layer] = event.attention

    with hooked(module, Hook(observe=observe)):
        outputs = module(**inputs)
    return outputs, found


def maps_of(model: Any, batch: Batch) -> dict[int, Tensor]:
    """The attention of every layer on the texts of a batch, without its graph."""
    with torch.no_grad():
        return run_with_maps(model.module, batch.inputs)[1]


def uniform(visible: Tensor) -> Tensor:
    """Attention spread evenly over the visible keys; nothing where none is visible."""
    weights = visible.float()
    return weights / weights.sum(-1, keepdim=True).clamp(min=1)


def random_map(attention: Tensor, visible: Tensor, real: Tensor | None, seed: str,
               texts: Tensor) -> Tensor:  # fmt: skip
    """Each row drawn evenly from all distributions over its visible keys, Dirichlet(1, …, 1)."""
    where = places(attention, visible, real)
    weights = -_uniform_draw(seed, texts[:, None, None, None], *where).log() * visible
    return weights / weights.sum(-1, keepdim=True).clamp(min=1e-30)


def random_directions(like: Tensor, real: Tensor | None, seed: str, texts: Tensor) -> Tensor:
    """Random unit vectors over the last axis, for head outputs (batch, query, head, width)."""
    batch, queries, heads, width = like.shape
    rows = torch.arange(queries, device=like.device).expand(batch, queries)
    if real is not None:
        rows = real.cumsum(-1)
    head = torch.arange(heads, device=like.device)[:, None]
    drawn = _uniform_draw(seed, texts[:, None, None, None], rows[:, :, None, None], head,
                          torch.arange(width, device=like.device))  # fmt: skip
    normal = torch.erfinv(2 * drawn - 1)
    return normal / normal.norm(dim=-1, keepdim=True)


def normal_draw(
    seed: str, attention: Tensor, visible: Tensor, real: Tensor | None, texts: Tensor
) -> Tensor:
    """A standard normal number for each attention weight, (batch, head, query, key)."""
    where = places(attention, visible, real)
    return torch.erfinv(2 * _uniform_draw(seed, texts[:, None, None, None], *where) - 1) * 2**0.5


def _uniform_draw(seed: str, *where: Tensor) -> Tensor:
    """Numbers between 0 and 1, neither included; float64 where the device has it."""
    kind = torch.float32 if where[0].device.type == "mps" else torch.float64
    return ((hashed(seed, *where) >> 22).to(kind) + 0.5) / 2**40


@dataclass
class Scrambler:
    """What the hooks of one session do to attention; set anew between its passes."""

    texts: Tensor
    """(batch,) numbers of the texts, for draws of their own."""
    donors: dict[int, Tensor]
    """Of each layer the maps of other texts of the same length."""
    heads: list[Tensor]
    """Of each layer (head,), True where attention is replaced."""
    map: str | None = None
    """One of MAPS; None leaves the attention as it is."""
    seed: str = ""
    noise: bool = False
    """Instead of the map, put in random changes of the norms that it had last."""
    norms: dict[int, Tensor] = field(default_factory=dict)
    """Of each layer (batch, query, head), how far the last map moved each head output."""

    def hook(self) -> Hook:
        """The hook of a session."""
        return Hook(edit_attention=self._replace, edit_output=self._push)

    def _replace(self, event: Event) -> Tensor:
        layer, before = event.site.layer, event.attention
        heads = self.heads[layer]
        if self.map is None or self.noise or not heads.any():
            return before
        after = self._drawn(event).to(before).where(heads[None, :, None, None], before)
        moved = event.computation.weighed(after - before).norm(dim=-1)
        # Rows of padding may hold anything.
        self.norms[layer] = moved.nan_to_num(0, 0, 0)
        return after

    def _push(self, event: Event) -> Tensor:
        output = event.head_output
        norms = self.norms.get(event.site.layer)
        if not self.noise or norms is None:
            return output
        seed = f"{self.seed} noise {event.site.layer}"
        directions = random_directions(output, real_rows(event), seed, self.texts)
        return output + norms[..., None] * directions.to(output)

    def _drawn(self, event: Event) -> Tensor:
        attention, visible, real = event.attention, event.visible, real_rows(event)
        seed = f"{self.seed} {event.site.layer}"
        if self.map == "permuted":
            return shuffled(attention, visible, real, seed, self.texts)
        if self.map == "random":
            return random_map(attention, visible, real, seed, self.texts)
        if self.map == "other":
            return self.donors[event.site.layer]
        return uniform(visible).expand_as(attention)
