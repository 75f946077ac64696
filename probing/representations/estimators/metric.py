"""What L-BFGS on many label sets starts from and what it remembers."""

import torch

from .objective import Objective

#: Steps that are remembered.
_MEMORY = 20
#: Of the eigenvalues of the second derivative at W = 0.
_POWER = 0.7


class Metric:
    """A first guess at the inverse of the second derivative of every label set's objective.

    At W = 0 every row has the shares π of the classes as probabilities, and the derivative is
    C Σ s_i (diag π − π π') ⊗ X'X/n + 1: its eigenvectors are those of the Gram matrix, which all
    sets share, and those of a small matrix of each set. Its eigenvalues are taken to a power
    below 1, because towards the minimum those directions lose most of their curvature that tell
    the classes apart; on hidden states this halves the number of passes.
    """

    def __init__(self, objective: Objective, C: torch.Tensor) -> None:
        self.columns = objective.columns
        self.variances, self.directions = objective.features.gram
        self.small = []
        for (counts, _), c in zip(objective.class_totals, C.tolist(), strict=True):
            share = counts / counts.sum()
            if len(counts) == 2:
                spread = (share[:1] * share[1:]).reshape(1, 1)
            else:
                # Adding the same to all intercepts changes nothing; the last term only keeps that
                # direction finite.
                spread = torch.diag(share) - torch.outer(share, share) + share.mean() / len(share)
            values, vectors = torch.linalg.eigh(spread)
            self.small.append((c * counts.sum() * values, vectors))

    def apply(self, gradient: torch.Tensor) -> torch.Tensor:
        """A step (columns, features + 1) for a gradient of that shape; intercepts come last."""
        rotated = gradient[:, :-1] @ self.directions
        parts = []
        for (values, vectors), part, intercepts in zip(
            self.small,
            rotated.split(self.columns),
            gradient[:, -1:].split(self.columns),
            strict=True,
        ):
            curvature = (values[:, None] * self.variances) ** _POWER
            weights = vectors.T @ part / (curvature + 1)
            intercepts = vectors.T @ intercepts / values[:, None] ** _POWER
            parts.append(vectors @ torch.cat([weights, intercepts], dim=1))
        step = torch.cat(parts)
        return torch.cat([step[:, :-1] @ self.directions.T, step[:, -1:]], dim=1)

    def only(self, kept: torch.Tensor) -> "Metric":
        part = object.__new__(Metric)
        part.variances, part.directions = self.variances, self.directions
        part.columns = tuple(self.columns[number] for number in kept.tolist())
        part.small = [self.small[number] for number in kept.tolist()]
        return part


class History:
    """The last steps of every label set and the changes of the gradient along them."""

    def __init__(self, objective: Objective, metric: Metric) -> None:
        self._metric = metric
        self._pairs: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        self._scale = objective.mean.new_ones(len(objective))

    def add(self, objective: Objective, step: torch.Tensor, change: torch.Tensor) -> None:
        """Remember a step; sets that did not move have a step of 0 and lose nothing by it."""
        product = objective.per_set(step * change)
        inverse = torch.where(product > 0, 1 / product, 0.0)
        self._pairs = [*self._pairs[1 - _MEMORY :], (step, change, inverse)]
        scale = product / objective.per_set(change * self._metric.apply(change))
        self._scale = torch.where(product > 0, scale, self._scale)

    def direction(self, objective: Objective, gradient: torch.Tensor) -> torch.Tensor:
        """The quasi-Newton step down (Nocedal & Wright 2006, algorithm 7.4)."""
        rest, owner, sizes = gradient, objective.owner, []
        for step, change, inverse in reversed(self._pairs):
            size = inverse * objective.per_set(step * rest)
            rest = rest - size[owner, None] * change
            sizes.append(size)
        result = self._scale[owner, None] * self._metric.apply(rest)
        for (step, change, inverse), size in zip(self._pairs, reversed(sizes), strict=True):
            size = size - inverse * objective.per_set(change * result)
            result = result + size[owner, None] * step
        return -result

    def keep(self, kept: torch.Tensor, columns: torch.Tensor) -> None:
        """Forget the other label sets."""
        self._metric = self._metric.only(kept)
        self._scale = self._scale[kept]
        self._pairs = [
            (step[columns], change[columns], inverse[kept]) for step, change, inverse in self._pairs
        ]
