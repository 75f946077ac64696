"""From the changes on each text to one table of means, baselines and tests."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ...stats import max_t
from ..means import mean_over_units
from ..targets import Prepared
from .maps import DRAWN
from .scrambling import Changes
from .search import Alternatives

COLUMNS = (
    "scope", "layer", "head", "map", "metric", "mean", "ci_low", "ci_high", "n", "baseline",
    "difference", "difference_low", "difference_high", "p_adjusted", "descriptive",
)  # fmt: skip
#: Smaller differences are rounding. The test statistic has no scale, so it would take rounding
#: that always goes one way for an effect.
_ROUNDING = 1e-6


def counterfactual_table(changes: Changes, units: Sequence[int], *, seed: int) -> pd.DataFrame:
    """One row per scope, layer, head, map and metric; see `scramble`.

    `mean` is how far the output moves under other attention, over `n` texts, draws being averaged
    (metrics named `…_median` take the median of the draws of each text, as Jain & Wallace do);
    `baseline` the same under random changes of the head outputs of equal norm; `difference` their
    paired difference. Intervals: percentile bootstrap over units. `p_adjusted`: two-sided
    sign-flips of units of the difference, with max-T over the rows of one scope, map and metric;
    NaN where there is too little data (`descriptive`).
    """
    parts = []
    for place, name in enumerate(changes.maps):
        moved, noise = changes.scrambled[:, :, place], changes.noise[:, :, place]
        parts.append(_rows(changes, changes.metric, name, _mean(moved), _mean(noise), units, seed))
        if name in DRAWN:
            metric = f"{changes.metric}_median"
            middle = _median(moved), _median(noise)
            parts.append(_rows(changes, metric, name, middle[0], middle[1], units, seed))
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]


def epsilon_table(found: Alternatives, units: Sequence[int], *, seed: int) -> pd.DataFrame:
    """How far attention can go within each ε; see `search_alternatives`.

    Returns:
        `scope,layer,statistic,epsilon,mean,ci_low,ci_high,n,bound,moved,descriptive`, a row per
        layer searched, statistic (`jsd`, `read_jsd`: nats, at most ln 2 = .693) and ε. `bound`
        is the mean of what could be reached with the output free, `moved` of how far the output
        moved. Intervals: percentile bootstrap over units. What is found depends on the budget of
        the search and is to be read against the divergence between seeds (`seed_variance`).
    """
    parts = []
    for statistic, values, bound in (
        ("jsd", found.jsd, found.bound),
        ("read_jsd", found.read_jsd, found.read_bound),
    ):
        means = mean_over_units(values, units, seed)
        layer, which = (place.ravel() for place in np.indices(values.shape[1:]))
        part = pd.DataFrame({
            "scope": np.where([own is None for own in found.layers], "all", "layer")[layer],
            "layer": _counts(found.layers)[layer],
            "statistic": statistic,
            "epsilon": np.array(found.epsilons)[which],
            "mean": means.mean.ravel(),
            "ci_low": means.low.ravel(),
            "ci_high": means.high.ravel(),
            "n": means.n.ravel(),
            "bound": bound.mean(0, dtype=float)[layer],
            "moved": found.moved.mean(0, dtype=float).ravel(),
            "descriptive": means.descriptive.ravel(),
        })  # fmt: skip
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def changes_by_text(changes: Changes, prepared: Prepared) -> pd.DataFrame:
    """Means over draws of each text, `example,id,scope,layer,head,map,metric,value,baseline`."""
    texts, cells, maps = changes.scrambled.shape[:3]
    text, cell, which = (place.ravel() for place in np.indices((texts, cells, maps)))
    table = pd.DataFrame({
        "example": np.array(prepared.kept)[text],
        "id": np.array([encoding.sentence.id for encoding in prepared.encodings])[text],
        "scope": np.array([own.scope for own in changes.cells])[cell],
        "layer": _counts([own.layer for own in changes.cells])[cell],
        "head": _counts([own.head for own in changes.cells])[cell],
        "map": np.array(changes.maps)[which],
        "metric": changes.metric,
        "value": _mean(changes.scrambled).ravel(),
        "baseline": _mean(changes.noise).ravel(),
    })  # fmt: skip
    return table.dropna(subset=["value"]).reset_index(drop=True)


def _rows(
    changes: Changes,
    metric: str,
    name: str,
    moved: np.ndarray,
    baseline: np.ndarray,
    units: Sequence[int],
    seed: int,
) -> pd.DataFrame:
    """All cells of one map and metric; values are (text, cell)."""
    difference = moved - baseline
    means = [mean_over_units(values, units, seed) for values in (moved, baseline, difference)]
    scopes = np.array([cell.scope for cell in changes.cells])
    p = np.full(len(scopes), np.nan)
    for scope in dict.fromkeys(scopes):
        own = scopes == scope
        if not means[0].descriptive[own].any():
            p[own] = max_t(_unit_sums(difference[:, own], units), seed=seed)
    return pd.DataFrame({
        "scope": scopes,
        "layer": _counts([cell.layer for cell in changes.cells]),
        "head": _counts([cell.head for cell in changes.cells]),
        "map": name,
        "metric": metric,
        "mean": means[0].mean,
        "ci_low": means[0].low,
        "ci_high": means[0].high,
        "n": means[0].n,
        "baseline": means[1].mean,
        "difference": means[2].mean,
        "difference_low": means[2].low,
        "difference_high": means[2].high,
        "p_adjusted": p,
        "descriptive": means[0].descriptive,
    })  # fmt: skip


def _counts(numbers: Sequence[int | None]) -> pd.api.extensions.ExtensionArray:
    return pd.array([pd.NA if number is None else number for number in numbers], dtype="Int64")


def _unit_sums(values: np.ndarray, units: Sequence[int]) -> np.ndarray:
    """Sums over the texts of each unit (unit, …); texts without a value are left out."""
    known = np.where(np.isnan(values) | (np.abs(values) < _ROUNDING), 0.0, values)
    place = np.unique(np.asarray(units), return_inverse=True)[1]
    sums = np.zeros((place.max() + 1, *values.shape[1:]))
    np.add.at(sums, place, known)
    return sums


def _mean(draws: np.ndarray) -> np.ndarray:
    """Over the draws there are, of (…, draw); NaN where there is none."""
    counts = (~np.isnan(draws)).sum(-1)
    return np.where(counts, np.nansum(draws, -1, dtype=float) / np.maximum(counts, 1), np.nan)


def _median(draws: np.ndarray) -> np.ndarray:
    """Over the draws; maps that are drawn have every draw on every text."""
    return np.median(draws.astype(float), -1)
