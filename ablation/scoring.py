"""Scores of parts over a whole setting: halves, modes, draws, progress, and resuming."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..capture import Batch
from ..capture.batch import plan
from ..capture.padding import ignores_padding
from ..capture.shortcut import find_restarts
from ..capture.stream import batch_tokens, progress, run_batches
from ..corpora.text import random_half
from ..errors import CaptureError
from .kept import Kept
from .knockout import draw_sources, mean_written, written_for_sources
from .packed import StandIn, Sweep
from .panels import Panel
from .parts import Part, check_parts
from .setting import Setting
from .switches import Switches

#: What takes the place of a part that is off.
MODES = ("zero", "mean", "uniform", "resample")
#: Modes whose stand-in comes from other texts than those that are scored.
_FROM_OTHERS = {"mean", "resample"}
#: Texts that each text is resampled from.
DRAWS = 5


@dataclass(frozen=True)
class Scores:
    """Statistics of every example, from which the metrics are computed (`Metric.of`)."""

    base: dict[str, np.ndarray]
    """By metric (example, k), of the intact model; NaN where an example has none."""
    ablated: dict[tuple[str, str], np.ndarray]
    """By mode and metric (part, draw, example, k)."""


def score(
    model: Any,
    setting: Setting,
    parts: Sequence[Part],
    *,
    modes: Sequence[str] = ("zero",),
    seed: int = 0,
    draws: int = DRAWS,
    folder: str | Path | None = None,
) -> Scores:
    """Score every example on the intact model and without each part.

    - `zero`: nothing stands in; a head's output is 0 (Michel et al. 2019, section 3.2), an MLP
      adds nothing, a block returns what it reads.
    - `mean`: the mean of what the part writes over all tokens of other texts.
    - `uniform`: heads attend evenly to the keys they see, and so write the mean of the values
      (Kovaleva et al. 2019, section 4.6); it is not defined for MLPs and layers.
    - `resample`: what the part writes for another text, at the same position; `draws` texts one
      after the other. Each is at least as long; for a text that none is as long as, the rows of
      the longest are repeated.

    For `mean` and `resample` the units are split into two halves at random, and what stands in
    for parts on one half comes from the other.

    Args:
        folder: where finished batches are kept, so that a run that was stopped goes on.

    Raises:
        CaptureError: an unknown mode or one that does not suit a part, a part that does not
            exist, or attention that cannot be reached.
        CorpusError: too few units to split.
        OutputError: the folder holds something else.
    """
    check_parts(model.module, parts)
    chosen = check_modes(modes, parts, draws)
    halves = _halves(setting.units, seed, split=bool(_FROM_OTHERS & set(chosen)))
    counts = [draws if mode == "resample" else 1 for mode in chosen]
    switches = Switches(model.module, tuple(parts))
    sweep = Sweep(model, parts, switches, find_restarts(model.module))
    kept = Kept.of(folder, model, setting, parts, chosen, draws, seed)
    texts = sum(len(panel.readings) for panel in setting.panels)
    base: dict[str, np.ndarray] = {}
    ablated: dict[tuple[str, str], np.ndarray] = {}
    with (
        switches.attached(),
        progress(texts * (1 + sum(counts) * len(parts)), "without parts") as bar,
    ):
        for number, panel in enumerate(setting.panels):
            job = _Job(sweep, panel, chosen, counts, kept, bar, f"{number}")
            intact, without = job.run(setting.units, halves, seed)
            examples = len(setting.examples)
            base |= panel.of_examples(intact, examples)
            start = 0
            for mode, count in zip(chosen, counts, strict=True):
                found = panel.of_examples(without[:, start : start + count], examples)
                for metric, rows in found.items():
                    ablated[mode, metric] = np.moveaxis(rows, (0, 1, 2), (2, 1, 0))
                start += count
    return Scores(base, ablated)


def check_modes(modes: Sequence[str], parts: Sequence[Part], draws: int = DRAWS) -> list[str]:
    """The modes as a list.

    Raises:
        CaptureError: an unknown one, none, `uniform` for what has no attention, or no draw.
    """
    if draws < 1:
        raise CaptureError(f"draws is {draws}; resample needs at least 1.")
    chosen = [modes] if isinstance(modes, str) else list(dict.fromkeys(modes))
    if not chosen or set(chosen) - set(MODES):
        raise CaptureError(f"The modes {chosen} were given; choose from {', '.join(MODES)}.")
    other = [part.name for part in parts if part.mlps or part.layers]
    if "uniform" in chosen and other:
        raise CaptureError(
            f"The mode uniform spreads attention evenly, and {other[0]!r} is not attention alone; "
            "leave out the mode, or give heads and attention only."
        )
    return chosen


def _halves(units: np.ndarray, seed: int, *, split: bool) -> list[tuple[np.ndarray, np.ndarray]]:
    """Which examples are scored, and which ones what stands in comes from."""
    if not split:
        return [(np.ones(len(units), dtype=bool), np.zeros(len(units), dtype=bool))]
    first = random_half(units, seed)
    return [(first, ~first), (~first, first)]


@dataclass
class _Job:
    """The scores of one panel."""

    sweep: Sweep
    panel: Panel
    modes: list[str]
    draws: list[int]
    kept: Kept
    bar: Any
    name: str

    def run(
        self, units: np.ndarray, halves: list[tuple[np.ndarray, np.ndarray]], seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """(reading, statistic) and (reading, draw of all modes, part, statistic)."""
        owners = np.array([reading.example for reading in self.panel.readings])
        found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for number, (scored, others) in enumerate(halves):
            own, theirs = np.flatnonzero(scored[owners]), np.flatnonzero(others[owners])
            generator = np.random.default_rng([seed, number])
            for place, result in self._half(own, theirs, f"{self.name}-{number}", generator):
                found[place] = result
        ordered = [found[place] for place in range(len(owners))]
        return np.stack([one for one, _ in ordered]), np.stack([two for _, two in ordered])

    def _half(
        self, own: np.ndarray, theirs: np.ndarray, name: str, generator: np.random.Generator
    ) -> Iterator[tuple[int, tuple[np.ndarray, np.ndarray]]]:
        model, readings = self.sweep.model, self.panel.readings
        lengths = np.array([len(reading.encoding) for reading in readings])
        sources = None
        if "resample" in self.modes:
            count = self.draws[self.modes.index("resample")]
            sources = theirs[draw_sources(lengths[own], lengths[theirs], count, generator)]
        batches = plan(
            lengths[own].tolist(), batch_tokens(model), mix_lengths=ignores_padding(model.reader)
        )
        means: list[Any] = []
        for number, rows in enumerate(batches):
            members = own[rows]
            shard, texts = f"{name}-{number}", members.tolist()
            if (done := self.kept.read(shard, texts)) is None:
                if "mean" in self.modes and not means:
                    others = [readings[index].encoding for index in theirs]
                    means.append(mean_written(model, others, self.sweep.switches))
                done = self._batch(members, means, None if sources is None else sources[rows])
                self.kept.write(shard, texts, *done)
            else:
                self.bar.update(len(members) * (1 + sum(self.draws) * len(self.sweep.parts)))
            yield from zip(texts, zip(*done, strict=True), strict=True)

    def _batch(
        self, members: np.ndarray, means: list[Any], sources: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(text, statistic) and (text, draw of all modes, part, statistic)."""
        model, sweep, readings = self.sweep.model, self.sweep, self.panel.readings
        # Copies, because one encoding may be listed twice and asked different things.
        own = [replace(readings[index].encoding) for index in members]
        place = {id(encoding): number for number, encoding in enumerate(own)}

        def run(batch: Batch) -> list[tuple[np.ndarray, np.ndarray]]:
            rows = [place[id(encoding)] for encoding in batch.encodings]
            asked = [readings[members[row]] for row in rows]

            def read(outputs: Any, packed: Batch, copies: int) -> np.ndarray:
                return self.panel.read(model, outputs, packed, asked * copies)

            stand_ins = self._stand_ins(batch, means, None if sources is None else sources[rows])
            intact, without = sweep.run(batch, read, stand_ins, self.bar.update)
            return list(zip(intact, np.moveaxis(without, 2, 0), strict=True))

        found = [one for outcome in run_batches(model, [own], run) for one in outcome]
        return np.stack([one for one, _ in found]), np.stack([two for _, two in found])

    def _stand_ins(
        self, batch: Batch, means: list[Any], sources: np.ndarray | None
    ) -> list[StandIn]:
        model, readings = self.sweep.model, self.panel.readings
        found = []
        for mode in self.modes:
            if mode == "resample" and sources is not None:
                for draw in sources.T:
                    texts = [readings[index].encoding for index in draw]
                    written = written_for_sources(model, batch, texts, self.sweep.switches)
                    found.append(StandIn(mode, written))
            else:
                found.append(StandIn(mode, means[0] if mode == "mean" else None))
        return found
