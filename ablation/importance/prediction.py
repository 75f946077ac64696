"""Does the slope at the intact model foretell what removing a head does?

To first order, taking the gate of a head from 1 to 0 changes a score by −∂score/∂ξ: importance is
the size of this prediction (Michel et al. 2019, section 4.1). Here it keeps its sign and is held
against the change that was measured.
"""

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from ...stats import DRAWS, bootstrap_ratio, is_descriptive, kendall_tau_b
from ..setting import sums_of_units

STATISTICS = ("pearson", "spearman", "kendall")
#: `signed`: mean prediction and mean effect; `absolute`: the means of their sizes.
COMPARED = ("signed", "absolute")


def agreement_table(
    predicted: np.ndarray, measured: np.ndarray, units: np.ndarray, seed: int
) -> pd.DataFrame:
    """How well predictions and effects of the heads go together, with intervals over units.

    Columns: compared, statistic, value, ci_low, ci_high, heads, n (examples), descriptive. In
    each draw of units the means of all heads are taken anew.

    Args:
        predicted, measured: (example, layer, head), changes of one score.
        units: (example,).
    """
    rows = []
    for compared in COMPARED:
        pair = [predicted, measured] if compared == "signed" else [abs(predicted), abs(measured)]
        sums = [sums_of_units(each.reshape(len(each), -1), units) for each in pair]
        (first, counts), (second, _) = sums
        drawn = _correlations(first, second, counts, _draws(len(counts), seed))
        whole = _correlations(first, second, counts, np.ones((1, len(counts))))[0]
        low, high = _interval(drawn, len(counts))
        rows += [
            (compared, name, whole[at], low[at], high[at]) for at, name in enumerate(STATISTICS)
        ]
    table = pd.DataFrame(rows, columns=["compared", "statistic", "value", "ci_low", "ci_high"])
    return table.assign(
        heads=predicted[0].size,
        n=len(predicted),
        descriptive=bool(is_descriptive(len(predicted), len(np.unique(units)))),
    )


def head_table(
    predicted: np.ndarray, measured: np.ndarray, units: np.ndarray, seed: int
) -> pd.DataFrame:
    """One row per head: the mean predicted and measured change, with intervals over units.

    Columns: layer, head, predicted, predicted_low, predicted_high, measured, measured_low,
    measured_high, n.
    """
    layers, heads = np.indices(predicted.shape[1:])
    columns = {"layer": layers.ravel(), "head": heads.ravel()}
    for name, values in (("predicted", predicted), ("measured", measured)):
        found = bootstrap_ratio(*sums_of_units(values, units), seed=seed)
        for end, each in zip(("", "_low", "_high"), found, strict=True):
            columns[name + end] = each.ravel()
    return pd.DataFrame(columns).assign(n=len(predicted))


def _draws(units: int, seed: int) -> np.ndarray:
    """How often each draw has each unit: (draw, unit)."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(units, np.full(units, 1 / units), size=DRAWS).astype(float)


def _correlations(
    first: np.ndarray, second: np.ndarray, counts: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """(draw, statistic) over the heads; NaN where a side is constant."""
    size = (weights @ counts)[:, None]
    one, other = weights @ first / size, weights @ second / size
    ranks = [rankdata(each, axis=1) for each in (one, other)]
    kendall = [
        kendall_tau_b(own[None], theirs[None])[0, 0] for own, theirs in zip(one, other, strict=True)
    ]
    return np.stack([_pearson(one, other), _pearson(*ranks), np.array(kendall)], axis=1)


def _pearson(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of each row with the row beside it; Spearman's ρ, if they are ranks."""
    one, other = (each - each.mean(1, keepdims=True) for each in (one, other))
    size = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return np.divide((one * other).sum(1), size, out=np.full(len(size), np.nan), where=size > 0)


def _interval(drawn: np.ndarray, units: int) -> tuple[np.ndarray, np.ndarray]:
    if units < 2:
        return np.full(drawn.shape[1], np.nan), np.full(drawn.shape[1], np.nan)
    low, high = np.nanquantile(drawn, [0.025, 0.975], axis=0)
    return low, high
