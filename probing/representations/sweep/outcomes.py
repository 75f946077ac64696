"""Outcomes: how a probe or a baseline did on the evaluation items of a task."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from sklearn.dummy import DummyClassifier

from ..controls import TypeLookup
from .plan import Planned
from .problems import Problem

NOTHING = float("nan")


@dataclass(frozen=True)
class Outcome:
    """One row of the table before its intervals."""

    task: str
    source: str
    """Where the states come from: `model` or the name of a control; empty for baselines."""
    probe: str
    layer: int | None
    """The hidden state that is read, the highest one of a mix; None for a baseline."""
    own: np.ndarray
    """(item,), share of the seeds and random models that are right about each item."""
    control: np.ndarray
    """(draw, item), the same on the control labels of each draw."""
    held: float = NOTHING
    """Accuracy on the part of the training items that is held out for choices."""
    held_control: float = NOTHING
    """The same on control labels, the mean over draws."""
    c: float = NOTHING
    """Inverse strength of the penalty that was chosen for the task's own labels."""
    training_sd: float = NOTHING
    seed_sd: float = NOTHING
    random_model_sd: float = NOTHING
    weights: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    """(run, layer), how much of each layer is in a mix."""

    @property
    def reads_embeddings(self) -> bool:
        """Whether the states are the model's own embeddings, which random layers stand on too."""
        return self.layer == 0 and self.source in ("model", "random_layers")


@dataclass(frozen=True)
class Fitted:
    """What one piece of a sweep says about one problem: a row for each planned fit."""

    right: np.ndarray
    """bool (fit, item), whether the label of each evaluation item is predicted."""
    held: np.ndarray
    """(fit,), accuracy on the held-out part of training; NaN where nothing was held out."""
    c: np.ndarray
    """(fit,), the inverse strength of the penalty; NaN where there is none."""
    weights: np.ndarray
    """(fit, layer), how much of each layer is in the mix; no layer for other probes."""


def outcome_of(
    problem: Problem,
    plan: Sequence[Planned],
    fits: Sequence[Fitted],
    *,
    source: str,
    probe: str,
    layer: int,
) -> Outcome:
    """Gather the fits of one probe on one layer.

    Args:
        fits: of each model of the source: one, or several random ones.
    """
    own = [row for row, fit in enumerate(plan) if fit.labels == 0 and fit.sample is None]
    samples = [row for row, fit in enumerate(plan) if fit.sample is not None]
    draws = [row for row, fit in enumerate(plan) if fit.labels > 0]
    right = np.stack([fit.right for fit in fits])  # (model, fit, item)
    accuracy = right.mean(axis=2)
    held = np.stack([fit.held for fit in fits])
    return Outcome(
        task=problem.task.name,
        source=source,
        probe=probe,
        layer=layer,
        own=right[:, own].mean(axis=(0, 1)),
        control=right[:, draws].mean(axis=0),
        held=held[:, own].mean(),
        held_control=held[:, draws].mean(),
        c=fits[0].c[own[0]] if len(fits) == 1 else NOTHING,
        training_sd=_sd(accuracy[:, samples].mean(axis=0)),
        seed_sd=_sd(accuracy[:, own].mean(axis=0)),
        random_model_sd=_sd(accuracy[:, own].mean(axis=1)),
        weights=np.concatenate([fit.weights[own] for fit in fits]),
    )


def baselines_of(problem: Problem) -> list[Outcome]:
    """The majority class and the type-majority lookup."""
    return [
        _baseline(problem, "majority", DummyClassifier(strategy="most_frequent")),
        _baseline(problem, "lookup", TypeLookup()),
    ]


def _baseline(problem: Problem, name: str, estimator: DummyClassifier | TypeLookup) -> Outcome:
    predicted = np.stack([
        estimator.fit(problem.train.types, own).predict(problem.evaluate.types)
        for own in problem.train_labels
    ])  # fmt: skip
    right = predicted == problem.labels
    return Outcome(
        problem.task.name, "", name, None, right[0].astype(float), right[1:].astype(float)
    )


def _sd(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else NOTHING
