"""The objective of many logistic regressions on the same features.

With the loss L, the sum over the rows with their weights, a label set's objective is that of
scikit-learn, f(W, b) = C L(W, b) + ‖W‖²/2. W has a row for each class, or one row for two classes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from .blocks import Features

#: Logits at a time: what stays in the cache of a CPU, and what fills a GPU.
_ON_CPU, _ELSEWHERE = 2**18, 2**26


@dataclass(frozen=True)
class LabelSet:
    """One classification problem on the features; every class has a row of positive weight."""

    codes: np.ndarray
    """(rows,): the class of every row, from 0."""
    classes: int
    """At least 2."""
    weights: np.ndarray | None = None
    """(rows,): of every row's loss, at least 0; None for all 1."""


@dataclass(frozen=True)
class Evaluation:
    """The loss L of every label set at one point, and its derivatives, float64."""

    loss: torch.Tensor
    """(sets,)."""
    slope: torch.Tensor
    """(columns, features): by W."""
    intercept_slope: torch.Tensor
    """(columns,): by b."""
    curvature: tuple[torch.Tensor, ...]
    """Of every set, (its columns, its columns): the second derivative by b."""


class Objective:
    """Label sets below each other, so that one matrix product serves all.

    The columns of the logits are those of the first set, then of the second, and so on. Each set
    sees features that are standardised over the rows as it weights them.
    """

    def __init__(self, features: Features, sets: Sequence[LabelSet]) -> None:
        device = features.device
        self.features = features
        self.columns = tuple(1 if each.classes == 2 else each.classes for each in sets)
        self.owner = torch.repeat_interleave(torch.tensor(self.columns)).to(device)
        self.codes = torch.from_numpy(np.stack([each.codes for each in sets])).int().to(device)
        weighted = any(each.weights is not None for each in sets)
        self.weights = _stacked(sets, features) if weighted else None
        if self.weights is None:
            self.mean = torch.zeros(len(sets), features.width, dtype=torch.float64, device=device)
            self.inverse = (torch.from_numpy(features.inverse).to(device) > 0).double()
            self.inverse = self.inverse.expand_as(self.mean)
        else:
            self.mean, self.inverse = features.moments(self.weights)

    def __len__(self) -> int:
        return len(self.columns)

    def only(self, kept: torch.Tensor) -> "Objective":
        """The objective of some of the label sets, by index."""
        part = object.__new__(Objective)
        part.features = self.features
        part.columns = tuple(self.columns[number] for number in kept.tolist())
        part.owner = torch.repeat_interleave(torch.tensor(part.columns)).to(kept.device)
        part.codes = self.codes[kept]
        part.weights = None if self.weights is None else self.weights[kept]
        part.mean, part.inverse = self.mean[kept], self.inverse[kept]
        part.class_totals = [self.class_totals[number] for number in kept.tolist()]
        return part

    def per_set(self, values: torch.Tensor) -> torch.Tensor:
        """Sums over the columns of every set, and over the features if there are: (sets,)."""
        sums = values.sum(dim=1) if values.ndim == 2 else values
        return torch.zeros(len(self), dtype=sums.dtype, device=sums.device).index_add_(
            0, self.owner, sums
        )

    def prior(self) -> torch.Tensor:
        """The point of weights 0 and the intercepts that are best with them."""
        logs = [counts.log() for counts, _ in self.class_totals]
        best = [log[1:] - log[:1] if len(log) == 2 else log - log.mean() for log in logs]
        intercepts = torch.cat(best)[:, None]
        weights = intercepts.new_zeros(len(intercepts), self.features.width)
        return torch.cat([weights, intercepts], dim=1)

    def plain(self, theta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights and intercepts on `features`, for ones on each set's own features."""
        W = theta[:, :-1] * self.inverse[self.owner]
        return W, theta[:, -1] - (W * self.mean[self.owner]).sum(dim=1)

    def evaluate(self, theta: torch.Tensor) -> Evaluation:
        """Loss and derivatives, in one pass over the features.

        Args:
            theta: (columns, features + 1): weights on each set's own features, intercepts last.
        """
        slope, intercept_slope = torch.zeros_like(theta[:, :-1]), torch.zeros_like(theta[:, -1])
        loss = intercept_slope.new_zeros(len(self))
        curvature = [loss.new_zeros(count, count) for count in self.columns]
        for start, block, logits in self._logits(theta):
            rows = slice(start, start + len(block))
            for number, part in enumerate(logits.split(self.columns)):
                weights = None if self.weights is None else self.weights[number, rows]
                codes = self.codes[number, rows].long()
                block_loss, block_curvature = _to_residuals(part, codes, weights)
                loss[number] += block_loss
                curvature[number] += block_curvature
            slope += (logits @ block).double()
            intercept_slope += logits.sum(dim=1).double()
        slope -= intercept_slope[:, None] * self.mean[self.owner]
        slope *= self.inverse[self.owner]
        return Evaluation(loss, slope, intercept_slope, tuple(curvature))

    @cached_property
    def class_totals(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Of every set: the weight of each class, (classes,), and the weighted sums of the set's
        own features in each class, (classes, features)."""
        classes = [max(count, 2) for count in self.columns]
        counts = [torch.zeros(k, dtype=torch.float64, device=self.mean.device) for k in classes]
        sums = [self.mean.new_zeros(k, self.features.width) for k in classes]
        start = 0
        for block in self.features:
            rows = slice(start, start + len(block))
            for number, k in enumerate(classes):
                members = torch.nn.functional.one_hot(self.codes[number, rows].long(), k).T
                members = members.to(block.dtype)
                if self.weights is not None:
                    members *= self.weights[number, rows]
                counts[number] += members.sum(dim=1, dtype=torch.float64)
                sums[number] += (members @ block).double()
            start += len(block)
        return [
            (count, (total - count[:, None] * mean) * inverse)
            for count, total, mean, inverse in zip(
                counts, sums, self.mean, self.inverse, strict=True
            )
        ]

    def accuracy(self, theta: torch.Tensor, held: Sequence[LabelSet]) -> torch.Tensor:
        """Weighted share of right predictions for each set, (sets,).

        Args:
            held: the rows to score: other weights of the same classes; a code of -1 for a class
                that the set does not have is never right.
        """
        device = theta.device
        codes = torch.from_numpy(np.stack([each.codes for each in held])).to(device)
        weights = _stacked(held, self.features)
        right = torch.zeros(len(self), dtype=torch.float64, device=device)
        for start, block, logits in self._logits(theta):
            rows = slice(start, start + len(block))
            for number, part in enumerate(logits.split(self.columns)):
                predicted = part.argmax(dim=0) if len(part) > 1 else (part[0] > 0).long()
                right[number] += weights[number, rows][predicted == codes[number, rows]].sum()
        return right / weights.sum(dim=1)

    def _logits(self, theta: torch.Tensor) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
        """Blocks of (first row, features (row, feature), logits (column, row))."""
        W, b = self.plain(theta)
        budget = _ON_CPU if W.device.type == "cpu" else _ELSEWHERE
        size = max(256, budget // len(W))
        start = 0
        for large in self.features:
            coefficients, intercepts = W.to(large.dtype), b.to(large.dtype)[:, None]
            for block in large.split(size):
                yield start, block, torch.addmm(intercepts, coefficients, block.T)
                start += len(block)


def _to_residuals(
    logits: torch.Tensor, codes: torch.Tensor, weights: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Turn logits (columns, rows) of one set into the derivative of the loss by them, in place.

    Returns the loss, (), and its second derivative by the intercepts, (columns, columns).
    """
    if len(logits) == 1:
        return _to_binary_residuals(logits[0], codes, weights)
    logits -= logits.amax(dim=0)
    own = logits.gather(0, codes[None])[0]
    totals = logits.exp_().sum(dim=0)
    logits /= totals
    losses = totals.log_().sub_(own)
    if weights is None:
        weights, weighted = torch.ones_like(own), logits
    else:
        weighted = logits * weights
    curvature = torch.diag(weighted.sum(dim=1)) - weighted @ logits.T
    logits.copy_(weighted).scatter_add_(0, codes[None], -weights[None])
    return torch.dot(losses, weights), curvature


def _to_binary_residuals(
    logits: torch.Tensor, codes: torch.Tensor, weights: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    losses = torch.nn.functional.softplus(logits) - codes * logits
    probabilities = logits.sigmoid_()
    spread = probabilities * (1 - probabilities)
    logits -= codes
    if weights is not None:
        losses, spread = losses * weights, spread * weights
        logits *= weights
    return losses.sum(), spread.sum().reshape(1, 1)


def _stacked(sets: Sequence[LabelSet], features: Features) -> torch.Tensor:
    weights = [np.ones(features.rows) if s.weights is None else s.weights for s in sets]
    return torch.from_numpy(np.stack(weights)).to(features.device, features.dtype)
