"""The kinds of probe a sweep can fit, and how each is fitted to the problems of a group."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..estimators.linear import LinearProbe, fit_together
from .outcomes import Fitted
from .plan import Planned, sample_weight
from .problems import Problem, encoded


@dataclass(frozen=True)
class Group:
    """Problems of one level with the same items, so that they share features."""

    problems: tuple[Problem, ...]

    @property
    def level(self) -> str:
        return self.problems[0].task.level


#: From the features of both parts, the group, the fits of each problem and the device.
Fit = Callable[[np.ndarray, np.ndarray, Group, Sequence[Planned], str], list[Fitted]]


@dataclass(frozen=True)
class Kind:
    """How a probe is fitted."""

    fit: Fit
    convex: bool = False
    """Whether there is one optimum, wherever a fit starts."""
    padded: bool = False
    """Whether it reads the words of each span, and not their mean."""
    all_layers: bool = False
    """Whether it reads all layers at once."""


def _linear(
    train: np.ndarray, evaluate: np.ndarray, group: Group, plan: Sequence[Planned], device: str
) -> list[Fitted]:
    """All labels, draws and samples of all problems, solved together."""
    items = group.problems[0].train
    pairs = [(problem, fit) for problem in group.problems for fit in plan]
    probes = fit_together(
        train,
        [problem.train_labels[fit.labels] for problem, fit in pairs],
        groups=items.sentences,
        seed=plan[0].seed,
        sample_weights=[
            None if fit.sample is None else sample_weight(items.units, fit.sample)
            for _, fit in pairs
        ],
        device=device,
    )
    fitted = []
    for number, problem in enumerate(group.problems):
        own = probes[number * len(plan) : (number + 1) * len(plan)]
        fitted.append(_fitted(problem, own, evaluate))
    return fitted


def _fitted(problem: Problem, probes: Sequence[LinearProbe], evaluate: np.ndarray) -> Fitted:
    return Fitted(
        predicted=np.stack([encoded(problem.classes, p.predict(evaluate)) for p in probes]),
        held=np.array([p.held_out_score_ for p in probes]),
        c=np.array([p.C_ for p in probes]),
    )


KINDS = {"linear": Kind(_linear, convex=True)}
