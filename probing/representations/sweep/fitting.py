"""Fitting: every classifier on every layer of every source."""

from collections.abc import Sequence
from functools import partial
from urllib.parse import quote

from ..states import States
from .jobs import Job
from .kinds import KINDS, Kind
from .options import PROBES, ProbeOptions
from .outcomes import Fitted, Outcome, outcome_of
from .pieces import Arrays
from .plan import Planned, plan_fits
from .problems import Group, Problem, groups_of
from .sources import Source


def fitting_jobs(
    problems: Sequence[Problem],
    sources: Sequence[Source],
    layers: Sequence[int],
    options: ProbeOptions,
    *,
    device: str,
) -> list[Job]:
    """One job for each probe, layer, source and group of problems with the same items."""
    groups = groups_of(problems)
    return [
        Job(
            name=piece_name(source, probe, layer, group),
            source=source,
            layer=layer,
            compute=partial(_fit, KINDS[probe], group, plan_of(source.name, probe, options), layer,
                            layers, device),
        )
        for source in sources
        for probe in options.probes
        if probe in KINDS
        for layer in layers
        for group in groups
        if group.level in PROBES[probe]
    ]  # fmt: skip


def outcomes_of(
    problems: Sequence[Problem],
    sources: Sequence[Source],
    layers: Sequence[int],
    options: ProbeOptions,
    found: dict[str, Arrays],
) -> list[Outcome]:
    """The outcomes of the jobs that `fitting_jobs` gives; random models of a kind are one source.

    Args:
        found: the arrays of the jobs by their names.
    """
    groups = {
        problem.task.name: group for group in groups_of(problems) for problem in group.problems
    }
    return [
        outcome_of(
            problem,
            plan_of(name, probe, options),
            [
                _unpacked(
                    found[piece_name(source, probe, layer, groups[problem.task.name])], problem
                )
                for source in sources
                if source.name == name
            ],
            source=name,
            probe=probe,
            layer=layer,
        )
        for problem in problems
        for name in dict.fromkeys(source.name for source in sources)
        for probe in options.probes
        if probe in KINDS and problem.task.level in PROBES[probe]
        for layer in layers
    ]


def plan_of(source: str, probe: str, options: ProbeOptions) -> list[Planned]:
    """The fits of a probe; only the linear one on the model itself is fitted on samples too."""
    convex = KINDS[probe].convex
    return plan_fits(options, convex=convex, spread=convex and source == "model")


def _fit(
    kind: Kind, group: Group, plan: Sequence[Planned], layer: int, layers: Sequence[int],
    device: str, train: States, evaluate: States,
) -> Arrays:  # fmt: skip
    first = group.problems[0]
    fits = kind.fit(
        kind.features(train, first.train, layer, layers),
        kind.features(evaluate, first.evaluate, layer, layers),
        group,
        plan,
        device,
    )
    return {
        f"{problem.task.name}.{name}": value
        for problem, fitted in zip(group.problems, fits, strict=True)
        for name, value in vars(fitted).items()
    }


def piece_name(source: Source, probe: str, layer: int, group: Group) -> str:
    """The name of a piece. A group is named after its first task: no task is in two."""
    task = quote(group.problems[0].task.name, safe="")
    return f"{source.name}.{source.number}.{probe}.{layer}.{task}"


def _unpacked(arrays: Arrays, problem: Problem) -> Fitted:
    names = ("right", "held", "c", "weights")
    return Fitted(*(arrays[f"{problem.task.name}.{name}"] for name in names))
