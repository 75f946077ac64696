"""Integrated gradients, with as many steps for each text as completeness asks for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...capture import Batch
from ...corpora import Encoding
from ..embeddings import replaced_embeddings
from ..goals import Goal, measure
from ..running import stream_with
from .baselines import baseline_embedding
from .gradients import gradients, rows_of

#: Scores that miss f(x) − f(x′) by more than this share are not integrated gradients.
BOUND = 0.01
#: Intervals of the path to begin with, and the most that a text may get.
FEWEST, MOST = 8, 256


@dataclass(frozen=True)
class Completeness:
    """Whether the scores of one text add up to f(x) − f(x′), in units of the target."""

    total: float
    """Sum of the scores over all tokens."""
    difference: float
    """f(x) − f(x′), with x′ the baseline."""
    bound: float = BOUND

    @property
    def error(self) -> float:
        """|total − difference|."""
        return abs(self.total - self.difference)

    @property
    def relative_error(self) -> float:
        """The error over |f(x) − f(x′)|, or over 1e-12 where that is smaller."""
        return self.error / max(abs(self.difference), 1e-12)

    @property
    def holds(self) -> bool:
        """Whether the relative error is at most the bound."""
        return self.relative_error <= self.bound


@dataclass(frozen=True)
class Integral:
    """The integrated gradients of one text."""

    scores: np.ndarray
    """(token,)."""
    completeness: Completeness
    steps: int
    """Points of the path at which the gradient was taken: one forward and one backward pass
    each."""


def integrated_gradients(
    model: Any,
    encodings: Sequence[Encoding],
    goals: Sequence[Goal],
    *,
    seed: int,
    baseline: str = "zero",
    bound: float = BOUND,
    most: int = MOST,
) -> list[np.ndarray]:
    """The scores of `integrate`, also where they are not complete; draws nothing."""
    found = integrate(model, encodings, goals, baseline=baseline, bound=bound, most=most)
    return [own.scores for own in found]


def integrate(
    model: Any,
    encodings: Sequence[Encoding],
    goals: Sequence[Goal],
    *,
    baseline: str = "zero",
    bound: float = BOUND,
    most: int = MOST,
) -> list[Integral]:
    """Integrated gradients (Sundararajan et al. 2017, section 3).

    The path goes straight from the baseline to the word embeddings, special tokens included,
    while position and type embeddings stay. The integral is Clenshaw–Curtis quadrature, which
    has two advantages: doubling the intervals keeps every gradient already taken, and its ends
    are x and x′, so that completeness is known without a further pass. Captum's
    IntegratedGradients can add no steps to those it has taken; with as many it finds the same.

    Every text begins with 8 intervals. Texts that are complete within `bound` leave, the others
    double theirs, up to `most`. Points of all texts share the batches.

    Args:
        baseline: see `baseline_embedding`.
        bound: largest |Σ scores − (f(x) − f(x′))| over |f(x) − f(x′)|.
        most: intervals at which a text is left as it is; a power of 2, at least 8.
    """
    origin = baseline_embedding(model, baseline)
    paths = [_Path(encoding, goal) for encoding, goal in zip(encodings, goals, strict=True)]
    waiting, intervals = paths, FEWEST
    places = _places(intervals)
    while waiting:
        _take(model, waiting, places, origin, f"integrated gradients ({intervals} intervals)")
        intervals *= 2
        waiting = [
            path
            for path in waiting
            if intervals <= most and not path.integral(bound).completeness.holds
        ]
        places = _places(intervals)[1::2]
    return [path.integral(bound) for path in paths]


def completeness(
    model: Any,
    encodings: Sequence[Encoding],
    goals: Sequence[Goal],
    scores: Sequence[np.ndarray],
    *,
    baseline: str = "zero",
    bound: float = BOUND,
) -> list[Completeness]:
    """Check any scores against f(x) − f(x′), by one forward pass per text."""
    origin = baseline_embedding(model, baseline)

    def run(batch: Batch, own: list[Goal]) -> list[float]:
        with torch.no_grad(), replaced_embeddings(model.module, lambda x: origin.expand_as(x)):
            return measure(model, batch, own).tolist()

    baselines = stream_with(model, encodings, goals, run, description="completeness")
    return [
        Completeness(float(score.sum()), goal.value - value, bound)
        for score, goal, value in zip(scores, goals, baselines, strict=True)
    ]


@dataclass
class _Path:
    """What is known of the path of one text."""

    encoding: Encoding
    goal: Goal
    products: dict[float, np.ndarray] = field(default_factory=dict)
    """From the place on the path, 0 to 1, to (x − x′) · ∂f there (token,)."""
    values: dict[float, float] = field(default_factory=dict)
    """From the place to the target there."""

    def integral(self, bound: float) -> Integral:
        places = sorted(self.products)
        scores = _weights(len(places) - 1) @ np.stack([self.products[p] for p in places])
        difference = self.values[places[-1]] - self.values[places[0]]
        check = Completeness(float(scores.sum()), difference, bound)
        return Integral(scores, check, len(places))


def _take(
    model: Any, paths: Sequence[_Path], places: np.ndarray, origin: Tensor, description: str
) -> None:
    """Take the gradients at more places of each path."""

    def run(batch: Batch, own: list[tuple[Goal, float]]) -> list[tuple[np.ndarray, float]]:
        goals, parts = [goal for goal, _ in own], [part for _, part in own]
        share = torch.tensor(parts, device=origin.device, dtype=origin.dtype)[:, None, None]
        found = gradients(model, batch, goals, lambda x: torch.lerp(origin.expand_as(x), x, share))
        products = ((found.embeddings - origin) * found.gradient).sum(-1)
        return list(zip(rows_of(products, batch), found.values.tolist(), strict=True))

    points = [(path, place) for path in paths for place in places.tolist()]
    taken = stream_with(
        model,
        [path.encoding for path, _ in points],
        [(path.goal, place) for path, place in points],
        run,
        description=description,
    )
    for (path, place), (product, value) in zip(points, taken, strict=True):
        path.products[place], path.values[place] = product, value


def _places(intervals: int) -> np.ndarray:
    """(intervals + 1,) points of Clenshaw–Curtis quadrature on [0, 1]; every second one is a
    point of half as many intervals."""
    # The quotients are equal floats when both are doubled, so that a place is its own key.
    return (1 - np.cos(np.pi * (np.arange(intervals + 1) / intervals))) / 2


def _weights(intervals: int) -> np.ndarray:
    """(intervals + 1,) weights of Clenshaw–Curtis quadrature on [0, 1] (Waldvogel 2006); they
    integrate cos(kθ) of the angle θ of the points exactly, up to k = `intervals`."""
    terms = np.arange(0, intervals + 1, 2)
    moments = np.full(len(terms), 2.0) / (1 - terms**2)
    moments[[0, -1]] /= 2
    angles = np.pi * np.arange(intervals + 1) / intervals
    weights = np.cos(np.outer(angles, terms)) @ moments / intervals
    weights[[0, -1]] /= 2
    return weights
