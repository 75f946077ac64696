"""Parts switched off on one batch: restarted passes, several parts in each.

What lies before the first layer of a part is computed once (`capture.restart`), in that layer even
attention (`capture.shortcut`), and parts that begin in one layer are switched off together, each in
a copy of the batch of its own. A full sweep over L layers then costs (L+1)/2L of whole passes.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..capture import Batch, eval_mode
from ..capture.restart import Passes, recording, skipping
from ..capture.shortcut import Restarts, attention_outputs, jumping
from ..capture.stream import ACCELERATOR_TOKENS, is_out_of_memory
from .parts import Part
from .switches import Switches, Written

#: More copies of a batch stop paying on a CPU beyond these numbers of texts and padded tokens.
CPU_TEXTS, CPU_PACKED_TOKENS = 64, 2048
#: Of what the module returned for a batch, and how many copies of the texts it holds: the
#: statistics (copy x text, statistic).
Read = Callable[[Any, Batch, int], np.ndarray]


@dataclass(frozen=True)
class StandIn:
    """What takes the place of what is off."""

    mode: str
    written: Written | None = None
    """None for zeros."""

    @property
    def is_even(self) -> bool:
        return self.mode == "uniform"


@dataclass
class _Intact:
    """What an intact pass of a batch left for those that are restarted."""

    statistics: np.ndarray
    passes: Passes
    heads: dict[int, Tensor]
    evenly: dict[int, Tensor]
    returned: dict[int, Any]
    """By layer, of the attention modules that have a shortcut."""


@dataclass
class Sweep:
    """Scores parts on batches; the switches must be attached."""

    model: Any
    parts: Sequence[Part]
    switches: Switches
    restarts: Restarts
    most: int | None = None
    """Copies of a batch at most; lowered when memory runs out."""
    groups: dict[int, list[int]] = field(init=False)
    """By the first layer that is touched, the indices of the parts."""

    def __post_init__(self) -> None:
        self.groups = {}
        for index, part in enumerate(self.parts):
            self.groups.setdefault(part.touched[0], []).append(index)

    def run(
        self,
        batch: Batch,
        read: Read,
        stand_ins: Sequence[StandIn],
        done: Callable[[int], None] = lambda texts: None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Statistics of the texts of a batch, intact and without each part.

        Args:
            done: told how many copies of texts have been scored.

        Returns:
            (text, statistic) and (stand-in, part, text, statistic).
        """
        with torch.no_grad(), eval_mode(self.model.module):
            even = any(one.is_even for one in stand_ins)
            intact = self._intact(batch, read, even=even)
            done(len(batch))
            shape = (len(stand_ins), len(self.parts), *intact.statistics.shape)
            found = np.empty(shape)
            for number, stand_in in enumerate(stand_ins):
                self.switches.instead, self.switches.even = stand_in.written, stand_in.is_even
                for layer, members in self.groups.items():
                    self._group(batch, read, intact, layer, members, found[number], done)
        return intact.statistics, found

    def _intact(self, batch: Batch, read: Read, *, even: bool) -> _Intact:
        switches, seen = self.switches, Written()
        evenly: dict[int, Tensor] = {}
        switches.turn_off((), self.model.device)
        switches.seen, switches.evenly = seen, evenly if even else None
        try:
            with (
                recording(self.model.module, self.restarts.blocks) as passes,
                attention_outputs(self.restarts.shortcuts) as returned,
            ):
                statistics = read(self.model.module(**batch.inputs), batch, 1)
        finally:
            switches.seen = switches.evenly = None
        return _Intact(statistics, passes, seen.heads, evenly, returned)

    def _group(
        self,
        batch: Batch,
        read: Read,
        intact: _Intact,
        layer: int,
        members: list[int],
        found: np.ndarray,
        done: Callable[[int], None],
    ) -> None:
        """Fill in the scores of the parts that begin in one layer."""
        waiting = list(members)
        while waiting:
            most = self._copies(batch)
            # As equal as can be: 12 parts at most 5 at a time go 4, 4, 4.
            copies = -(-len(waiting) // -(-len(waiting) // most))
            now = waiting[:copies]
            try:
                statistics = self._without(batch, read, intact, layer, now)
            except (RuntimeError, MemoryError) as error:
                if copies == 1 or not is_out_of_memory(error):
                    raise
                self.most = copies // 2
                continue
            found[now] = statistics.reshape(copies, len(batch), -1)
            waiting = waiting[copies:]
            done(copies * len(batch))

    def _without(
        self, batch: Batch, read: Read, intact: _Intact, layer: int, members: list[int]
    ) -> np.ndarray:
        copies, switches = len(members), self.switches
        switches.turn_off([self.parts[index] for index in members], self.model.device)
        packed = _packed(batch, copies)
        shortcut = self.restarts.shortcuts.get(layer)
        with ExitStack() as stack:
            stack.callback(switches.turn_off, (), self.model.device)
            if self.restarts.blocks:
                stack.enter_context(
                    skipping(
                        self.model.module, self.restarts.blocks, intact.passes, layer,
                        copies=copies,
                    )
                )  # fmt: skip
            if shortcut is not None:
                even = intact.evenly[layer][None] if switches.even else None
                given = switches.head_output(layer, intact.heads[layer][None], even)
                stack.enter_context(jumping(shortcut, intact.returned[layer], given))
            return read(self.model.module(**packed.inputs), packed, copies)

    def _copies(self, batch: Batch) -> int:
        if not self.restarts.packs:
            return 1
        texts, tokens = batch.mask.shape
        if self.model.device.type == "cpu":
            most = min(CPU_TEXTS // texts, CPU_PACKED_TOKENS // (texts * tokens))
        else:
            most = ACCELERATOR_TOKENS // (texts * tokens)
        return max(1, most if self.most is None else min(most, self.most))


def _packed(batch: Batch, copies: int) -> Batch:
    """All texts, then all again: what the model reads when several parts are off at once."""
    if copies == 1:
        return batch
    inputs = {
        name: value.repeat(copies, *[1] * (value.dim() - 1)) for name, value in batch.inputs.items()
    }
    return replace(batch, encodings=batch.encodings * copies, inputs=inputs)
