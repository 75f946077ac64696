"""Integrated gradients, with as many steps for each text, and where, as completeness asks for."""

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
#: Pieces of the path to begin with, and how many points a text may get before it is left as it
#: is.
PIECES, MOST = 4, 257
#: An error of a piece that is this small against the target is single precision's own.
_ROUNDING = 1e-6


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
    """Points of the path where the gradient was taken, by one forward and one backward pass."""


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
    while position and type embeddings stay. It is integrated by Simpson's rule on pieces. The
    target at both ends of a piece is known, so that completeness says how far each piece is off;
    pieces that are off by more than their share of what `bound` allows are halved, and no
    gradient is taken twice. A text leaves once the sizes of its pieces' errors add up to no more
    than that, so that errors of opposite sign do not pass for none. Points of all texts share the
    batches. (Captum's IntegratedGradients takes equally many steps for every text and cannot add
    to those it has taken.)

    Args:
        baseline: see `baseline_embedding`.
        bound: of |Σ scores − (f(x) − f(x′))| over |f(x) − f(x′)|.
        most: a text with so many points is left as it is.
    """
    origin = baseline_embedding(model, baseline)
    paths = [_Path(encoding, goal) for encoding, goal in zip(encodings, goals, strict=True)]
    waiting = paths
    while waiting:
        _take(model, waiting, origin)
        waiting = [path for path in waiting if path.refine(bound, most)]
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
    """What is known of the path of one text; places on it go from 0 (baseline) to 1 (text)."""

    encoding: Encoding
    goal: Goal
    pieces: list[tuple[float, float]] = field(
        default_factory=lambda: [(n / PIECES, (n + 1) / PIECES) for n in range(PIECES)]
    )
    """Halved again and again, so that their ends are exact as floats."""
    products: dict[float, np.ndarray] = field(default_factory=dict)
    """From the place to (x − x′) · ∂f there (token,)."""
    values: dict[float, float] = field(default_factory=dict)
    """From the place to the target there."""

    def missing(self) -> list[float]:
        """The places that Simpson's rule needs and that were not visited."""
        places = {place for a, b in self.pieces for place in (a, (a + b) / 2, b)}
        return sorted(places - self.products.keys())

    def refine(self, bound: float, most: int) -> bool:
        """Halve the pieces that are off by too much; whether there are any."""
        errors = np.array([
            abs(self._simpson(a, b).sum() - (self.values[b] - self.values[a]))
            for a, b in self.pieces
        ])  # fmt: skip
        allowed = bound * abs(self.values[1.0] - self.values[0.0])
        if errors.sum() <= allowed or len(self.products) >= most or not np.isfinite(errors).all():
            return False
        rounding = _ROUNDING * max(map(abs, self.values.values()))
        halved = errors > max(allowed / len(errors), rounding)
        self.pieces = [
            part
            for (a, b), off in zip(self.pieces, halved, strict=True)
            for part in ([(a, (a + b) / 2), ((a + b) / 2, b)] if off else [(a, b)])
        ]
        return bool(halved.any())

    def integral(self, bound: float) -> Integral:
        scores = np.sum([self._simpson(a, b) for a, b in self.pieces], axis=0)
        difference = self.values[1.0] - self.values[0.0]
        check = Completeness(float(scores.sum()), difference, bound)
        return Integral(scores, check, len(self.products))

    def _simpson(self, a: float, b: float) -> np.ndarray:
        ends = self.products[a] + self.products[b]
        return (b - a) / 6 * (ends + 4 * self.products[(a + b) / 2])


def _take(model: Any, paths: Sequence[_Path], origin: Tensor) -> None:
    """Take the gradients that the pieces of the paths need."""

    def run(batch: Batch, own: list[tuple[Goal, float]]) -> list[tuple[np.ndarray, float]]:
        goals, places = [goal for goal, _ in own], [place for _, place in own]
        share = torch.tensor(places, device=origin.device, dtype=origin.dtype)[:, None, None]
        found = gradients(model, batch, goals, lambda x: origin + share * (x - origin))
        products = ((found.embeddings - origin) * found.gradient).sum(-1)
        return list(zip(rows_of(products, batch), found.values.tolist(), strict=True))

    points = [(path, place) for path in paths for place in path.missing()]
    taken = stream_with(
        model,
        [path.encoding for path, _ in points],
        [(path.goal, place) for path, place in points],
        run,
        description=f"integrated gradients ({len(paths)} texts)",
    )
    for (path, place), (product, value) in zip(points, taken, strict=True):
        path.products[place], path.values[place] = product, value
