"""Heads of the same number in two models, next to what different sentences give."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...capture import Shards
from ...stats import bootstrap_ratio, is_descriptive
from ..heads.hits import sums_by_unit

COLUMNS = (
    "layer", "head", "measure", "mean", "ci_low", "ci_high", "n",
    "null", "difference", "difference_low", "difference_high", "n_null",
    "null_model", "null_model_difference", "null_model_low", "null_model_high", "descriptive",
)  # fmt: skip
LAYER_COLUMNS = tuple(column for column in COLUMNS if column != "head")
_Interval = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class SameNumber:
    """Measures between heads of the same number, text by text.

    Where too few texts have a partner, the difference from the null has no interval.
    """

    heads: Sequence[tuple[int, int]]
    measures: tuple[str, ...]
    shards: Shards
    null_model: Shards | None
    units: np.ndarray
    """(text,)."""
    seed: int

    def by_head(self) -> pd.DataFrame:
        """One row per measure and head."""
        keys = pd.DataFrame(self.heads, columns=["layer", "head"])
        return self._table(keys, np.eye(len(self.heads)))

    def by_layer(self) -> pd.DataFrame:
        """One row per measure and layer: means over its heads."""
        layers = np.array([layer for layer, _ in self.heads])
        names = np.unique(layers)
        average = (layers == names[:, None]).astype(float)
        average /= average.sum(1, keepdims=True)
        return self._table(pd.DataFrame({"layer": names}), average)

    def _table(self, keys: pd.DataFrame, average: np.ndarray) -> pd.DataFrame:
        """
        Args:
            average: (row, head), how much each head counts in a row.
        """
        parts = [self._part(keys, average, measure) for measure in self.measures]
        table = pd.concat(parts, ignore_index=True)
        return table[[column for column in COLUMNS if column in table]]

    def _part(self, keys: pd.DataFrame, average: np.ndarray, measure: str) -> pd.DataFrame:
        values = self.shards.gather(measure) @ average.T
        other = self.shards.gather(f"null_{measure}") @ average.T
        mean, low, high = self._interval(values)
        paired = np.isfinite(other).all(1)
        gap = self._interval(values - other, paired)
        if is_descriptive(int(paired.sum()), len(np.unique(self.units[paired]))):
            gap = gap[0], np.full_like(gap[0], np.nan), np.full_like(gap[0], np.nan)
        count, covered = len(values), len(np.unique(self.units))
        part = keys.assign(
            measure=measure, mean=mean, ci_low=low, ci_high=high, n=count,
            null=self._interval(other, paired)[0],
            difference=gap[0], difference_low=gap[1], difference_high=gap[2], n_null=paired.sum(),
            null_model=np.nan, null_model_difference=np.nan,
            null_model_low=np.nan, null_model_high=np.nan,
            descriptive=bool(is_descriptive(count, covered)),
        )  # fmt: skip
        if self.null_model is not None:
            # The first model against the null model.
            reference = self.null_model.gather(measure) @ average.T
            gap = self._interval(values - reference)
            part["null_model"] = reference.mean(0)
            part["null_model_difference"], part["null_model_low"], part["null_model_high"] = gap
        return part

    def _interval(self, values: np.ndarray, kept: np.ndarray | None = None) -> _Interval:
        """Mean over texts (text, row), of some texts only, with its interval over units."""
        kept = np.ones(len(values), dtype=bool) if kept is None else kept
        units = int(self.units.max()) + 1
        sums = sums_by_unit(np.where(kept[:, None], values, 0.0), self.units, units)
        counts = np.bincount(self.units, weights=kept, minlength=units)
        return bootstrap_ratio(sums, counts, seed=self.seed)
