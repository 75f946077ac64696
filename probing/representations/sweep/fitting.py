"""Fitting: every probe on every layer of every source, in pieces that are kept."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from ..items import padded, pooled
from ..states import States
from .kinds import KINDS, Group
from .options import PROBES, ProbeOptions
from .outcomes import Fitted, Outcome, outcome_of
from .pieces import Arrays, Pieces
from .plan import Planned, plan_fits
from .problems import Problem
from .sources import Source


@dataclass(frozen=True)
class Job:
    """One piece of a sweep: a probe on one layer of one source, for the problems of a group."""

    source: Source
    probe: str
    layer: int | None
    """None for a probe of all layers."""
    number: int
    """Which group."""
    group: Group

    @property
    def name(self) -> str:
        layer = "all" if self.layer is None else self.layer
        return f"{self.source.name}.{self.source.number}.{self.probe}.{layer}.{self.number}"


def fit_all(
    problems: Sequence[Problem],
    sources: Sequence[Source],
    layers: Sequence[int],
    options: ProbeOptions,
    pieces: Pieces,
    *,
    device: str = "cpu",
) -> list[Outcome]:
    """Fit what is not finished, with a progress bar over the pieces, and gather the outcomes."""
    groups = _groups(problems)
    jobs = [
        Job(source, probe, layer, number, group)
        for source in sources
        for probe in options.probes
        for layer in ([None] if KINDS[probe].all_layers else layers)
        for number, group in enumerate(groups)
        if group.level in PROBES[probe]
    ]
    found: dict[tuple[str, str, int | None, str], list[Fitted]] = {}
    with tqdm(total=len(jobs), desc="probes", unit="fit", dynamic_ncols=True) as bar:
        for job, arrays in _run(jobs, layers, options, pieces, device):
            for problem in job.group.problems:
                key = job.source.name, job.probe, job.layer, problem.task.name
                found.setdefault(key, []).append(_unpacked(arrays, problem.task.name))
            bar.update()
    by_name = {problem.task.name: problem for problem in problems}
    return [
        outcome_of(by_name[task], plan_of(source, probe, options), fits,
                   source=source, probe=probe, layer=layer)
        for (source, probe, layer, task), fits in found.items()
    ]  # fmt: skip


def plan_of(source: str, probe: str, options: ProbeOptions) -> list[Planned]:
    """The fits of a probe; only the linear one on the model itself is fitted on samples too."""
    kind = KINDS[probe]
    return plan_fits(options, convex=kind.convex, spread=kind.convex and source == "model")


def _run(
    jobs: Sequence[Job], layers: Sequence[int], options: ProbeOptions, pieces: Pieces, device: str
) -> Iterator[tuple[Job, Arrays]]:
    """The arrays of every job. The states of one source are held at a time, and only if needed."""
    states: _Held | None = None
    for job in jobs:

        def compute(job: Job = job) -> Arrays:
            nonlocal states
            if states is None or states.source is not job.source:
                states = _Held(job.source, *job.source.read())
            features = states.features(job, layers)
            plan = plan_of(job.source.name, job.probe, options)
            fits = KINDS[job.probe].fit(*features, job.group, plan, device)
            return _packed(job.group, fits)

        yield job, pieces.get(job.name, compute)


@dataclass(frozen=True)
class _Held:
    """The states of a source while its jobs run."""

    source: Source
    train: States
    evaluate: States

    def features(self, job: Job, layers: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """What the probe reads of the training and of the evaluation items."""
        kind, problem = KINDS[job.probe], job.group.problems[0]
        take = padded if kind.padded else pooled
        parts = ((self.train, problem.train), (self.evaluate, problem.evaluate))
        if job.layer is not None:
            train, evaluate = (take(states.read(job.layer), items) for states, items in parts)
            return train, evaluate
        train, evaluate = (
            np.stack([take(states.read(layer), items) for layer in layers], axis=1)
            for states, items in parts
        )
        return train, evaluate


def _groups(problems: Sequence[Problem]) -> list[Group]:
    """Problems with the same items share their features, and are solved together."""
    groups: list[list[Problem]] = []
    for problem in problems:
        for group in groups:
            if _same_items(group[0], problem):
                group.append(problem)
                break
        else:
            groups.append([problem])
    return [Group(tuple(group)) for group in groups]


def _same_items(one: Problem, other: Problem) -> bool:
    return one.task.level == other.task.level and all(
        np.array_equal(ours.spans, theirs.spans)
        for ours, theirs in ((one.train, other.train), (one.evaluate, other.evaluate))
    )


def _packed(group: Group, fits: Sequence[Fitted]) -> Arrays:
    return {
        f"{problem.task.name}.{name}": value
        for problem, fitted in zip(group.problems, fits, strict=True)
        for name, value in vars(fitted).items()
    }


def _unpacked(arrays: Arrays, task: str) -> Fitted:
    return Fitted(*(arrays[f"{task}.{name}"] for name in ("predicted", "held", "c")))
