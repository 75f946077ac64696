"""From the scores of sets of heads to the points of curves."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..effects import differences, interval
from ..metrics import Metric
from ..parts import Head, Part, head_set
from ..scoring import Scores

#: Not the importance named first, but its reverse; and the mean over random orders.
REVERSED, RANDOM = "reversed", "random"
COLUMNS = (
    "order", "removed", "share_removed", "metric", "value", "ci_low", "ci_high", "n",
    "descriptive", "delta", "delta_low", "delta_high",
)  # fmt: skip
_EDGES = (0.025, 0.975)


@dataclass(frozen=True)
class Removal:
    """One order in which heads go, and at how many of them the model is scored."""

    order: str
    draw: int
    """Which of several random orders; else 0."""
    heads: tuple[Head, ...]
    counts: tuple[int, ...]

    @property
    def sets(self) -> list[frozenset[Head]]:
        """What is gone at each point."""
        return [frozenset(self.heads[:count]) for count in self.counts]


def parts_of(removals: Sequence[Removal]) -> dict[frozenset[Head], Part]:
    """One part a set of heads; orders meet where all heads are gone, and often before."""
    found: dict[frozenset[Head], Part] = {}
    for removal in removals:
        for count, gone in zip(removal.counts, removal.sets, strict=True):
            name = f"{removal.order} {removal.draw}: {count} heads"
            found.setdefault(gone, head_set(name, sorted(gone)))
    return found


@dataclass(frozen=True)
class Points:
    """One metric on the intact model (index 0) and without each set of heads."""

    metric: Metric
    places: dict[frozenset[Head], int]
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    delta: np.ndarray
    delta_low: np.ndarray
    delta_high: np.ndarray
    n: int
    descriptive: bool

    @classmethod
    def of(
        cls,
        metric: Metric,
        scores: Scores,
        mode: str,
        sets: Sequence[frozenset[Head]],
        units: np.ndarray,
        seed: int,
    ) -> "Points":
        """The points of sets given in the order in which they were scored."""
        base, ablated = scores.base[metric.name], scores.ablated[mode, metric.name]
        rows = np.concatenate([base[None], ablated[:, 0]])
        value, low, high = interval(metric, rows, units, seed)
        change = differences(metric, base, ablated, units, seed)
        delta, delta_low, delta_high = (
            np.concatenate([[0.0], change[column]]) for column in ("delta", "ci_low", "ci_high")
        )
        return cls(
            metric=metric,
            places={frozenset(): 0} | {gone: number + 1 for number, gone in enumerate(sets)},
            value=value,
            low=low,
            high=high,
            delta=delta,
            delta_low=delta_low,
            delta_high=delta_high,
            n=int(change["n"].iloc[0]),
            descriptive=bool(change["descriptive"].iloc[0]),
        )

    def curves(self, removals: Sequence[Removal], heads: int) -> pd.DataFrame:
        """The curve of one order from the intact model on; of random ones their mean, and the
        range that 95 % of them are in.

        Args:
            heads: of the whole model.
        """
        at = np.array([[0, *(self.places[gone] for gone in own.sets)] for own in removals])
        rows: dict[str, np.ndarray] = {}
        for column, low, high, values in (
            ("value", "ci_low", "ci_high", (self.value, self.low, self.high)),
            ("delta", "delta_low", "delta_high", (self.delta, self.delta_low, self.delta_high)),
        ):
            middle, *ends = (each[at] for each in values)
            if removals[0].order == RANDOM:
                ends = list(np.quantile(middle, _EDGES, axis=0))
                rows |= {column: middle.mean(0), low: ends[0], high: ends[1]}
            else:
                rows |= {column: middle[0], low: ends[0][0], high: ends[1][0]}
        return self._frame(removals[0], heads, rows)

    def _frame(self, removal: Removal, heads: int, rows: dict[str, np.ndarray]) -> pd.DataFrame:
        removed = np.array([0, *removal.counts])
        table = pd.DataFrame({"removed": removed, "share_removed": removed / heads, **rows})
        table = table.assign(
            order=removal.order, metric=self.metric.name, n=self.n, descriptive=self.descriptive
        )
        return table[list(COLUMNS)]


def last_point(curve: pd.DataFrame, metric: Metric, threshold: float | None) -> int:
    """The number of heads at which a curve ends: where the metric first falls below
    threshold x base (of one that is the better the lower, rises above base / threshold)."""
    base, value = curve["value"].iloc[0], curve["value"]
    if threshold is None:
        return int(curve["removed"].iloc[-1])
    worse = value > base / threshold if metric.higher_is_better is False else (
        value < base * threshold
    )  # fmt: skip
    return int(curve["removed"][worse].min()) if worse.any() else int(curve["removed"].iloc[-1])


def curve_table(
    points: Sequence[Points], removals: Sequence[Removal], heads: int, threshold: float | None
) -> pd.DataFrame:
    """All curves of all metrics; each order ends where the first metric falls too low.

    Args:
        heads: of the whole model.
    """
    by_order: dict[str, list[Removal]] = {}
    for one in removals:
        by_order.setdefault(one.order, []).append(one)
    found = []
    for own in by_order.values():
        curves = [each.curves(own, heads) for each in points]
        end = last_point(curves[0], points[0].metric, threshold)
        found += [curve[curve["removed"] <= end] for curve in curves]
    return pd.concat(found, ignore_index=True)


def removal_table(removals: Sequence[Removal]) -> pd.DataFrame:
    """One row per order, draw and head: `order,draw,rank,layer,head`."""
    rows = [
        (one.order, one.draw, rank, layer, head)
        for one in removals
        for rank, (layer, head) in enumerate(one.heads)
    ]
    return pd.DataFrame(rows, columns=["order", "draw", "rank", "layer", "head"])
