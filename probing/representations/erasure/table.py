"""The table of erasure: values, and differences from the intact model and from the controls."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ....stats import bootstrap_ratio, holm, is_descriptive, sign_flip, wilson
from .family import Fitted
from .scores import Score

#: The column of the difference from each control.
_DIFFERENCES = {
    "random_rank": "difference",
    "random_variance": "over_random_variance",
    "shuffled_labels": "over_shuffled_labels",
}
COLUMNS = (
    "task", "layer", "eraser", "rank", "removed_variance", "metric", "value", "ci_low", "ci_high",
    "n", "control", "difference", "difference_ci_low", "difference_ci_high", "p_adjusted",
    "over_random_variance", "over_random_variance_ci_low", "over_random_variance_ci_high",
    "over_random_variance_p_adjusted",
    "over_shuffled_labels", "over_shuffled_labels_ci_low", "over_shuffled_labels_ci_high",
    "over_shuffled_labels_p_adjusted",
    "intact", "change", "change_ci_low", "change_ci_high",
    "probed_task", "probed_layer", "majority", "matched_to", "draws", "sd_over_draws",
    "descriptive",
)  # fmt: skip
#: The column of its p; each is a family of its own.
_P = {
    "random_rank": "p_adjusted",
    "random_variance": "over_random_variance_p_adjusted",
    "shuffled_labels": "over_shuffled_labels_p_adjusted",
}


def rows_of(
    task: str, layer: int, family: Sequence[Fitted], score: Score, *, seed: int
) -> list[dict[str, Any]]:
    """A row for the intact model and one for each eraser; p is not yet adjusted."""
    names = ["intact", *(fitted.name for fitted in family)]
    present, unit = np.unique(score.units, return_inverse=True)
    # (unit, eraser): resampled together, so that differences are paired.
    sums = np.zeros((len(present), len(names)))
    np.add.at(sums, unit, np.array([kind.mean(axis=0) for kind in score.sums]).T)
    counts = np.bincount(unit, weights=score.counts)
    value, low, high = bootstrap_ratio(sums, counts, seed=seed)
    number = int(score.counts.sum())
    few = bool(is_descriptive(number, len(present)))
    if few:
        low, high = np.full_like(value, np.nan), np.full_like(value, np.nan)
        if score.is_share:
            low, high = wilson(value * number, np.full_like(value, number))
    common = {
        "task": task, "layer": layer, "metric": score.metric, "n": number, "intact": value[0],
        "probed_task": score.probed_task, "probed_layer": score.probed_layer,
        "majority": score.majority, "descriptive": few,
    }  # fmt: skip
    rows: list[dict[str, Any]] = [
        {**common, **_kind(fitted), "value": value[i], "ci_low": low[i], "ci_high": high[i],
         "draws": len(kind), "sd_over_draws": _spread(kind, number)}
        for i, (fitted, kind) in enumerate(zip([None, *family], score.sums, strict=True))
    ]  # fmt: skip
    for row, own in zip(rows[1:], sums.T[1:], strict=True):
        row |= _difference("change", own - sums[:, 0], counts, few, seed=seed)
    concept = rows[1]
    concept["control"] = value[names.index("random_rank")]
    for control, column in _DIFFERENCES.items():
        gap = sums[:, 1] - sums[:, names.index(control)]
        concept |= _difference(column, gap, counts, few, seed=seed)
        if not few:
            concept[_P[control]] = float(sign_flip(gap, seed=seed, two_sided=True))
    return rows


def _kind(fitted: Fitted | None) -> dict[str, Any]:
    if fitted is None:
        return {"eraser": "none", "rank": 0.0, "removed_variance": 0.0, "matched_to": ""}
    return {
        "eraser": fitted.name, "rank": fitted.rank, "removed_variance": fitted.removed_variance,
        "matched_to": fitted.matched_to,
    }  # fmt: skip


def _spread(kind: np.ndarray, number: int) -> float:
    return float((kind.sum(axis=1) / number).std(ddof=1)) if len(kind) > 1 else np.nan


def _difference(
    column: str, gap: np.ndarray, counts: np.ndarray, few: bool, *, seed: int
) -> dict[str, float]:
    value, low, high = (float(part) for part in bootstrap_ratio(gap, counts, seed=seed))
    if few:
        low = high = np.nan
    return {column: value, f"{column}_ci_low": low, f"{column}_ci_high": high}


def table_of(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """All rows of an analysis, p adjusted by Holm over the rows, for each control on its own."""
    # The intact model comes once with each family.
    seen = pd.DataFrame(list(rows))
    keys = ["layer", "eraser", "matched_to", "metric", "probed_task", "probed_layer"]
    table = seen.drop_duplicates(keys, ignore_index=True).reindex(columns=list(COLUMNS))
    for column in _P.values():
        table[column] = holm(table[column].to_numpy(float))
    return table.astype({"layer": "Int64", "probed_layer": "Int64"})
