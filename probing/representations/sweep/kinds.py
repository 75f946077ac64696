"""The kinds of probe a sweep can fit, and how each is fitted to the problems of a group."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..estimators.bilinear import BilinearProbe
from ..estimators.edge import EdgeProbe
from ..estimators.linear import LinearProbe, fit_together
from ..estimators.mix import ScalarMixProbe
from ..estimators.mlp import MLPProbe
from ..items import Items, padded, pooled
from ..states import States
from .outcomes import Fitted
from .plan import Planned, sample_weight
from .problems import Group, Problem


@dataclass(frozen=True)
class Kind:
    """A probe that classifies."""

    make: Callable[[int, str], Any]
    """The estimator, from a seed and a device."""
    convex: bool = False
    """Whether there is one optimum, wherever a fit starts."""
    padded: bool = False
    """Whether it reads the words of each span, and not their mean."""
    cumulative: bool = False
    """Whether it reads a layer with all those below it, as (item, layer, hidden)."""

    def features(
        self, states: States, items: Items, layer: int, layers: Sequence[int]
    ) -> np.ndarray:
        """What the probe of a layer reads of each item."""
        read = [k for k in layers if k <= layer] if self.cumulative else [layer]
        parts = [(padded if self.padded else pooled)(states.read(k), items) for k in read]
        return np.stack(parts, axis=1) if self.cumulative else parts[0]

    def fit(
        self, train: np.ndarray, evaluate: np.ndarray, group: Group, plan: Sequence[Planned],
        device: str,
    ) -> list[Fitted]:  # fmt: skip
        """Fit what is planned for each problem of a group, and predict the evaluation items."""
        pairs = [(problem, planned) for problem in group.problems for planned in plan]
        probes = (_together if self.convex else self._one_by_one)(train, pairs, device)
        starts = range(0, len(pairs), len(plan))
        return [
            _fitted(problem, plan, probes[start : start + len(plan)], evaluate)
            for problem, start in zip(group.problems, starts, strict=True)
        ]

    def _one_by_one(
        self, train: np.ndarray, pairs: Sequence[tuple[Problem, Planned]], device: str
    ) -> list[Any]:
        return [
            self.make(planned.seed, device).fit(
                train, problem.train_labels[planned.labels], problem.train.sentences
            )
            for problem, planned in pairs
        ]


def _together(
    train: np.ndarray, pairs: Sequence[tuple[Problem, Planned]], device: str
) -> list[Any]:
    """Linear probes for all labels, draws and samples of all problems, solved together."""
    items = pairs[0][0].train
    return fit_together(
        train,
        [problem.train_labels[planned.labels] for problem, planned in pairs],
        groups=items.sentences,
        seed=pairs[0][1].seed,
        sample_weights=[
            None if planned.sample is None else sample_weight(items.units, planned.sample)
            for _, planned in pairs
        ],
        device=device,
    )


def _fitted(
    problem: Problem, plan: Sequence[Planned], probes: Sequence[Any], evaluate: np.ndarray
) -> Fitted:
    return Fitted(
        right=np.stack([
            probe.predict(evaluate) == problem.labels[planned.labels]
            for probe, planned in zip(probes, plan, strict=True)
        ]),
        held=np.array([p.held_out_score_ for p in probes]),
        c=np.array([p.C_ for p in probes]),
        weights=np.stack([getattr(p, "weights_", np.zeros(0)) for p in probes]),
    )  # fmt: skip


KINDS = {
    "linear": Kind(lambda seed, device: LinearProbe(seed=seed, device=device), convex=True),
    "mlp": Kind(lambda seed, device: MLPProbe(seed=seed, device=device)),
    "bilinear": Kind(lambda seed, device: BilinearProbe(seed=seed, device=device)),
    "edge": Kind(lambda seed, device: EdgeProbe(seed=seed, device=device), padded=True),
    "mix": Kind(lambda seed, device: ScalarMixProbe(seed=seed, device=device), cumulative=True),
}
