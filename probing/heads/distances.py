"""Distances between heads, and whether heads of one layer lie close."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.spatial.distance import squareform
from scipy.stats import permutation_test

from ...errors import CaptureError
from ...stats import bootstrap_ratio, is_descriptive
from .scan import HeadScan

#: How divergences of rows become one number: their mean, as the readme of Clark et al. 2019 says,
#: or their sum, as their code has it; the two differ by a factor that all pairs share.
REDUCTIONS = ("mean", "sum")
HALVES = ("even", "odd")
PERMUTATIONS = 10_000
#: Permutations to make at a time.
_BATCH = 100


def head_distances(
    scan: HeadScan, *, reduction: str = "mean", half: str | None = None
) -> np.ndarray:
    """Jensen–Shannon divergences between all pairs of heads, in nats: (head, head).

    Heads are numbered layer by layer.

    Args:
        reduction: `mean` or `sum` over all token rows, see `REDUCTIONS`.
        half: `even` or `odd` units only (default: all).

    Raises:
        CaptureError: the pass did not keep divergences, an option has no such value, or the half
            has no unit.
    """
    scan.require("divergence")
    if reduction not in REDUCTIONS or half not in (None, *HALVES):
        raise CaptureError(
            f"reduction is {reduction!r} and half {half!r}; reduction must be one of "
            f"{', '.join(REDUCTIONS)}, half None or one of {', '.join(HALVES)}."
        )
    chosen = (
        np.ones(len(scan.units), bool) if half is None else scan.units % 2 == HALVES.index(half)
    )
    if not chosen.any():
        raise CaptureError(f"The scan has no {half} unit; scan at least two texts.")
    total = sum(sums[chosen[members]].sum(0) for members, sums in _divergences(scan))
    return squareform(total / _rows(scan)[chosen].sum() if reduction == "mean" else total)


def layer_test(
    scan: HeadScan, distances: np.ndarray, layer: np.ndarray, *, seed: int
) -> pd.DataFrame:
    """Whether heads of one layer lie closer than heads of any: a table of one row.

    Permutations shuffle heads between layers. p is one-sided and NaN below 30 sentences or
    10 units; the interval resamples units. All is NaN where layers have one head.

    Args:
        distances: (head, head), from `head_distances`.
        layer: (head,), ascending.

    Returns:
        within_layer (mean distance), null_mean (over all pairs, to which permutations come on
        average), effect (null_mean − within_layer), ci_low, ci_high, p, n (sentences),
        descriptive.
    """
    first, second = np.triu_indices(len(layer), 1)
    same = layer[first] == layer[second]
    comparable = bool(same.any())
    within = same / same.sum() if comparable else np.full(len(same), np.nan)
    gap = np.zeros(int(scan.units.max()) + 1)
    for members, sums in _divergences(scan):
        np.add.at(gap, scan.units[members], sums @ (1 / len(same) - within))
    rows = np.bincount(scan.units, _rows(scan))
    effect, low, high = (float(value) for value in bootstrap_ratio(gap, rows, seed=seed))
    descriptive = bool(is_descriptive(len(scan.sentences), len(rows)))
    tested = comparable and not descriptive
    everywhere = float(squareform(distances, checks=False).mean())
    return pd.DataFrame(
        {
            "within_layer": [everywhere - effect],
            "null_mean": everywhere,
            "effect": effect,
            "ci_low": low,
            "ci_high": high,
            "p": closeness_p(distances, layer, seed=seed) if tested else np.nan,
            "n": len(scan.sentences),
            "descriptive": descriptive,
        }
    )


def closeness_p(distances: np.ndarray, layer: np.ndarray, *, seed: int) -> float:
    """One-sided p that heads of one layer are no closer than heads shuffled between layers."""
    first, second = np.triu_indices(len(layer), 1)
    same = layer[first] == layer[second]

    def within(order: np.ndarray, axis: int = -1) -> np.ndarray:
        """Mean distance within layers, with heads (…, head) in this order."""
        return distances[order[..., first[same]], order[..., second[same]]].mean(-1)

    found = permutation_test(
        (np.arange(len(layer)),), within, permutation_type="pairings", vectorized=True,
        n_resamples=PERMUTATIONS, batch=_BATCH, alternative="less", axis=-1,
        random_state=np.random.default_rng(seed),
    )  # fmt: skip
    return float(found.pvalue)


def _divergences(scan: HeadScan) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The sentences of each shard, with their sums over rows (sentence, pair)."""
    for members, tensor in scan.shards.tensors("divergence"):
        yield members, tensor.double().numpy()


def _rows(scan: HeadScan) -> np.ndarray:
    """(sentence,), how many token rows each has."""
    return scan.shards.gather("divergence_rows").astype(float)
