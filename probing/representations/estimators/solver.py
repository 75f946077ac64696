"""Multinomial logistic regression of many label sets on the same features, solved together.

L-BFGS on all label sets at once, each with a step length of its own. A set is done, and leaves,
when its duality gap says that its objective is close enough to the minimum.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from sklearn.exceptions import ConvergenceWarning

from .certificate import duality_gap
from .metric import History, Metric
from .objective import Objective

#: Largest distance from the minimum of the objective, as a share of the objective.
TOLERANCE = 1e-3
_MAX_PASSES = 2000
_SUFFICIENT_DECREASE = 1e-4
#: Passes without a decrease after which the precision of the features is exhausted.
_PATIENCE = 30


@dataclass(frozen=True)
class Solution:
    """Where the label sets of an objective ended, each set's columns below each other."""

    theta: torch.Tensor
    """(columns, features + 1), float64: weights on each set's own features, intercepts last."""
    value: torch.Tensor
    """(sets,): the objective."""
    gap: torch.Tensor
    """(sets,): how far above its minimum it is at most."""
    passes: int
    """Passes over the features."""


@dataclass
class _Points:
    """Where the label sets are."""

    theta: torch.Tensor
    value: torch.Tensor
    gradient: torch.Tensor
    curvature: tuple[torch.Tensor, ...]

    def moved(self, new: "_Points", moves: torch.Tensor, owner: torch.Tensor) -> "_Points":
        """The new points of the sets that move, and the old ones of the others."""
        pairs = zip(moves.tolist(), new.curvature, self.curvature, strict=True)
        return _Points(
            torch.where(moves[owner, None], new.theta, self.theta),
            torch.where(moves, new.value, self.value),
            torch.where(moves[owner, None], new.gradient, self.gradient),
            tuple(after if move else before for move, after, before in pairs),
        )

    def only(self, kept: torch.Tensor, columns: torch.Tensor) -> "_Points":
        curvature = tuple(self.curvature[number] for number in kept.tolist())
        return _Points(self.theta[columns], self.value[kept], self.gradient[columns], curvature)


def solve(
    objective: Objective,
    C: Sequence[float],
    *,
    start: torch.Tensor | None = None,
    tolerance: float = TOLERANCE,
    max_passes: int = _MAX_PASSES,
) -> Solution:
    """Minimise the objective of every label set.

    Args:
        C: of each label set.
        start: (columns, features + 1) where to begin, such as `theta` of the solution for
            another C.
        tolerance: the largest duality gap, as a share of the objective.

    Warns:
        ConvergenceWarning: a set is not as close as that after `max_passes`, or the precision of
            the features does not let it come closer.
    """
    device = objective.owner.device
    strength = torch.tensor(C, dtype=torch.float64, device=device)
    points = _evaluated(objective, strength, objective.prior() if start is None else start)
    result = Solution(
        torch.empty_like(points.theta),
        torch.empty_like(points.value),
        torch.full_like(points.value, float("inf")),
        passes=0,
    )
    whole, active = objective, torch.arange(len(objective), device=device)
    history = History(objective, Metric(objective, strength))
    step = torch.ones_like(points.value)
    direction = torch.zeros_like(points.theta)
    fresh = torch.ones_like(step, dtype=torch.bool)
    lowest, idle = points.value, torch.zeros_like(step)
    passes = 1
    while True:
        half = objective.per_set(points.gradient[:, :-1].square()) / 2
        near = half <= tolerance * points.value
        stuck = (idle >= _PATIENCE) | (passes >= max_passes)
        gap = _gaps(objective, strength, points, near | stuck)
        done = (gap <= tolerance * points.value) | stuck
        if done.any():
            _store(result, whole, active[done], points, gap, done, objective.owner)
            kept = (~done).nonzero()[:, 0]
            if not len(kept):
                break
            columns = (~done)[objective.owner]
            objective = objective.only(kept)
            history.keep(kept, columns)
            points, direction = points.only(kept, columns), direction[columns]
            active, strength, near = active[kept], strength[kept], near[kept]
            step, fresh, lowest, idle = step[kept], fresh[kept], lowest[kept], idle[kept]
        owner = objective.owner
        down = history.direction(objective, points.gradient)
        down = _intercepts_alone(objective, strength, points, down, near)
        direction = torch.where(fresh[owner, None], down, direction)
        slope = objective.per_set(direction * points.gradient)
        new = _evaluated(objective, strength, points.theta + step[owner, None] * direction)
        passes += 1
        # Differences below the rounding of the sum are not an increase.
        rounding = 4 * torch.finfo(objective.features.dtype).eps * points.value
        fresh = new.value <= points.value + _SUFFICIENT_DECREASE * step * slope + rounding
        after = points.moved(new, fresh, owner)
        history.add(objective, after.theta - points.theta, after.gradient - points.gradient)
        step = torch.where(fresh, 1.0, _shorter(step, points.value, slope, new.value))
        points = after
        idle = torch.where(points.value < lowest - rounding, 0.0, idle + 1)
        lowest = torch.minimum(lowest, points.value)
    _warn(result, tolerance)
    return Solution(result.theta, result.value, result.gap, passes)


def _evaluated(objective: Objective, C: torch.Tensor, theta: torch.Tensor) -> _Points:
    W = theta[:, :-1]
    found = objective.evaluate(theta)
    each = C[objective.owner]
    gradient = torch.cat(
        [each[:, None] * found.slope + W, (each * found.intercept_slope)[:, None]], dim=1
    )
    value = C * found.loss + objective.per_set(W.square()) / 2
    return _Points(theta, value, gradient, found.curvature)


def _gaps(
    objective: Objective, C: torch.Tensor, points: _Points, asked: torch.Tensor
) -> torch.Tensor:
    """The duality gap of the sets that are asked for, infinite for the others."""
    gaps = torch.full_like(points.value, float("inf"))
    parts = zip(
        asked.tolist(),
        points.theta.split(objective.columns),
        points.gradient.split(objective.columns),
        objective.class_totals,
        C.tolist(),
        strict=True,
    )
    for number, (wanted, theta, gradient, totals, c) in enumerate(parts):
        if wanted:
            gaps[number] = duality_gap(c, theta, gradient, *totals)
    return gaps


def _intercepts_alone(
    objective: Objective, C: torch.Tensor, points: _Points, down: torch.Tensor, near: torch.Tensor
) -> torch.Tensor:
    """Newton steps of the intercepts, for the sets in which only they are too far off."""
    parts = list(down.split(objective.columns))
    gradients = points.gradient[:, -1].split(objective.columns)
    for number in near.nonzero()[:, 0].tolist():
        curvature = C[number] * points.curvature[number]
        if len(curvature) > 1:  # The same added to all classes is not felt.
            curvature = curvature + curvature.diagonal().mean() / len(curvature)
        parts[number] = torch.zeros_like(parts[number])
        inverse = torch.linalg.pinv(curvature, hermitian=True)
        parts[number][:, -1] = -inverse @ gradients[number]
    return torch.cat(parts)


def _shorter(
    step: torch.Tensor, value: torch.Tensor, slope: torch.Tensor, new: torch.Tensor
) -> torch.Tensor:
    """The minimum of the parabola through what is known, between a tenth and a half of the step."""
    best = -slope * step.square() / (2 * (new - value - step * slope))
    best = torch.where(best.isfinite(), best, 0.0)
    return torch.minimum(torch.maximum(best, step / 10), step / 2)


def _store(
    result: Solution, whole: Objective, numbers: torch.Tensor, points: _Points,
    gap: torch.Tensor, done: torch.Tensor, owner: torch.Tensor,
) -> None:  # fmt: skip
    result.theta[torch.isin(whole.owner, numbers)] = points.theta[done[owner]]
    result.value[numbers], result.gap[numbers] = points.value[done], gap[done]


def _warn(result: Solution, tolerance: float) -> None:
    share = (result.gap / result.value).max()
    if share > tolerance:
        late = int((result.gap > tolerance * result.value).sum())
        warnings.warn(
            f"{late} of {len(result.value)} logistic regressions did not converge: an objective "
            f"may be {float(share):.1%} above its minimum, more than {tolerance:.1%}. Ask for a "
            "smaller C.",
            ConvergenceWarning,
            stacklevel=3,
        )
