"""A behaviour: data on which a model does something, and how well it does it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...attribution.goals import Function
from ...corpora import Example, Examples, MinimalPair, MinimalPairs
from ...errors import CorpusError
from ...models import LoadedModel
from ..setting import Setting, settle


@dataclass(frozen=True)
class Behaviour:
    """What the model does on some data; the metric is a mean over examples or tokens."""

    data: Examples | MinimalPairs
    metric: str | None = None
    """`accuracy`, `minimal_pairs`, `loss` or `target` (default: accuracy where there are labels,
    of pairs `minimal_pairs`, else the target)."""
    target: str | Function | None = None
    """What `target` measures, see `bertology.attribution.prepare`; the higher the better."""


def by_paradigm(pairs: MinimalPairs) -> dict[str, Behaviour]:
    """One behaviour a paradigm: is the acceptable sentence the more probable one?"""
    groups: dict[str, list[MinimalPair]] = {}
    for pair in pairs.pairs:
        groups.setdefault(pair.paradigm, []).append(pair)
    return {
        name: Behaviour(MinimalPairs(f"{pairs.name}, {name}", tuple(own), pairs.sha256))
        for name, own in groups.items()
    }


def by_class(examples: Examples) -> dict[str, Behaviour]:
    """One behaviour a label: how many examples of it are recognised (recall)?"""
    groups: dict[str, list[Example]] = {}
    for example in examples.examples:
        if example.label is not None:
            groups.setdefault(example.label, []).append(example)
    return {
        name: Behaviour(Examples(f"{examples.name}, {name}", tuple(own), examples.sha256))
        for name, own in groups.items()
    }


def settled(
    model: LoadedModel,
    behaviours: Mapping[str, Behaviour | Examples | MinimalPairs],
    seed: int,
) -> dict[str, Setting]:
    """The settings of all behaviours, each with one metric.

    Raises:
        CorpusError: no behaviour, or a metric that does not fit or is no mean.
        AttributionError: a target that does not suit the model.
    """
    if not behaviours:
        raise CorpusError("No behaviour was given; name at least one, with its data.")
    found = {}
    for name, given in behaviours.items():
        behaviour = given if isinstance(given, Behaviour) else Behaviour(given)
        metric = behaviour.metric or _default(model, behaviour)
        setting = settle(
            model, behaviour.data, metrics=(metric,), target=behaviour.target, seed=seed
        )
        if not setting.metrics[0].is_mean:
            raise CorpusError(
                f"The behaviour {name!r} is measured by {metric}, which is no mean over examples, "
                "and only means are compared between behaviours; give accuracy, minimal_pairs, "
                "loss or target."
            )
        found[name] = setting
    return found


def _default(model: LoadedModel, behaviour: Behaviour) -> str:
    if isinstance(behaviour.data, MinimalPairs):
        return "minimal_pairs"
    if behaviour.target is not None or len(model.labels) < 2:
        return "target"
    labelled = any(example.label is not None for example in behaviour.data.examples)
    return "accuracy" if labelled else "target"


@dataclass(frozen=True)
class Hurt:
    """How much worse a behaviour gets without each part, by unit."""

    sums: np.ndarray
    """(unit, part): of base − ablated, turned round where lower is better."""
    counts: np.ndarray
    """(unit,): examples or tokens."""
    ids: tuple[str, ...]
    """Of the examples."""
    rounding: float
    """Means no larger than this are rounding."""

    @property
    def means(self) -> np.ndarray:
        """(part,)"""
        return self.sums.sum(0) / self.counts.sum()

    def resampled(self, weights: np.ndarray) -> np.ndarray:
        """(draw, part), of how often each draw contains each unit: (draw, unit)."""
        return (weights @ self.sums) / (weights @ self.counts)[:, None]
