"""Heads laid out and grouped by the distance of their maps (Clark et al. 2019, section 6)."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist, squareform
from sklearn.manifold import smacof
from sklearn.metrics import adjusted_rand_score, silhouette_score

from ...errors import CaptureError
from ...stats import spearman
from .distances import HALVES, head_distances, layer_test
from .roles import BROAD
from .rows import OTHER, STATISTICS
from .scan import HeadScan

#: When a head counts as broad: by its share of the largest entropy possible, which texts of all
#: lengths have in common, or by nats, as in the code of Clark et al., for texts of 128 tokens.
BROAD_RULES = ("normalised", "nats")
_BROAD_NATS = 3.8
#: The largest number of clusters to choose from.
MOST_CLUSTERS = 20
#: Of MDS, as in the code of Clark et al.
_ITERATIONS, _TOLERANCE = 1000, 1e-10


@dataclass(frozen=True)
class HeadClusters:
    """Where heads lie by their distances, and whether those of one layer lie close."""

    heads: pd.DataFrame
    """layer, head, x, y, cluster (from 0, the largest first), name (see `head_names`)."""
    stress: pd.DataFrame
    """One row a restart: restart, stress (Kruskal's stress 1), iterations, best."""
    silhouettes: pd.DataFrame
    """clusters, even, odd (mean silhouette of the even half's clusters by the distances of that
    half, and by those of the other), chosen."""
    test: pd.DataFrame
    """One row: what `layer_test` returns, then how far the halves agree: half_spearman, of their
    distances, and half_rand, the adjusted Rand index of their clusters."""
    distances: np.ndarray
    """(head, head), in nats a row; heads are numbered layer by layer."""


def cluster_heads(
    scan: HeadScan,
    *,
    clusters: int | None = None,
    broad: str = "normalised",
    seed: int = 0,
    restarts: int = 5,
) -> HeadClusters:
    """Lay heads out in the plane, group them, and test whether those of one layer lie close.

    Distances are means over rows; sums would give the same layout, groups and p.

    Args:
        clusters: how many (default: as many as give the largest mean silhouette in the even half
            of the units, 20 at most).
        broad: one of `BROAD_RULES`.
        restarts: random starts of MDS, of which the one with the least stress is kept.

    Raises:
        CaptureError: the pass did not keep divergences, there are fewer than three heads or two
            units, or an option cannot be.
    """
    scan.require("divergence")
    means = _means(scan)
    layers, heads, _ = means.shape
    _refuse(layers * heads, int(scan.units.max()) + 1, clusters, broad, restarts)
    distances, even, odd = (head_distances(scan, half=half) for half in (None, *HALVES))
    silhouettes = _silhouettes(even, odd, clusters)
    number = int(silhouettes.loc[silhouettes["chosen"], "clusters"].iloc[0])
    places, stress = lay_out(distances, seed=seed, restarts=restarts)
    cells = pd.MultiIndex.from_product([range(layers), range(heads)], names=["layer", "head"])
    table = cells.to_frame(index=False).assign(
        x=places[:, 0],
        y=places[:, 1],
        cluster=group(distances, number),
        name=head_names(means, broad).ravel(),
    )
    test = layer_test(scan, distances, table["layer"].to_numpy(), seed=seed).assign(
        half_spearman=spearman(squareform(even)[None], squareform(odd)[None])[0, 0],
        half_rand=adjusted_rand_score(group(even, number), group(odd, number)),
    )
    return HeadClusters(table, stress, silhouettes, test, distances)


def lay_out(
    distances: np.ndarray, *, seed: int, restarts: int = 5
) -> tuple[np.ndarray, pd.DataFrame]:
    """Metric multidimensional scaling into the plane: the places (head, 2) of the best restart.

    Also the table `stress`: restart, stress (Kruskal's stress 1, the square root of
    Σ (d − δ)² / Σ d² over pairs with distance δ, laid out at d), iterations, best.
    """
    generator = np.random.default_rng(seed)
    found, rows = [], []
    for restart in range(restarts):
        places, raw, iterations = smacof(
            distances, init=generator.uniform(size=(len(distances), 2)), n_init=1,
            max_iter=_ITERATIONS, eps=_TOLERANCE, normalized_stress=False, return_n_iter=True,
        )  # fmt: skip
        found.append(places)
        stress = np.sqrt(raw / (pdist(places) ** 2).sum())
        rows.append({"restart": restart, "stress": stress, "iterations": iterations})
    table = pd.DataFrame(rows)
    best = int(table["stress"].argmin())
    return found[best], table.assign(best=table["restart"] == best)


def group(distances: np.ndarray, number: int) -> np.ndarray:
    """The cluster of each head by average linkage, numbered from 0, the largest first."""
    tree = linkage(squareform(distances, checks=False), "average")
    labels = fcluster(tree, number, "maxclust") - 1
    order = np.argsort(-np.bincount(labels), kind="stable")
    return np.argsort(order)[labels]


def head_names(means: np.ndarray, broad: str = "normalised") -> np.ndarray:
    """Name heads as Clark et al. do in their figure 6: (layer, head).

    next and previous from a mean weight of .5, broad, then cls, sep and punctuation from .6; a
    later name takes the place of an earlier; `other` if none fits.

    Args:
        means: (layer, head, statistic), over sentences.
        broad: one of `BROAD_RULES`.
    """
    mean = {name: means[..., column] for column, name in enumerate(STATISTICS)}
    in_nats, normalised = mean["entropy"] > _BROAD_NATS, mean["entropy_normalised"] >= BROAD
    fits = {
        "next": mean["next"] > 0.5,
        "previous": mean["previous"] > 0.5,
        "broad": in_nats if broad == "nats" else normalised,
        **{name: mean[name] > 0.6 for name in ("cls", "sep", "punctuation")},
    }
    names = np.full(means.shape[:2], OTHER, dtype=object)
    for name, where in fits.items():
        names[where] = name
    return names


def _refuse(heads: int, units: int, clusters: int | None, broad: str, restarts: int) -> None:
    """Refuse what cannot be clustered, and options that cannot be.

    Raises:
        CaptureError: either.
    """
    if heads < 3 or units < 2:
        raise CaptureError(
            f"The scan has {heads} heads and {units} units; clusters need at least three heads, "
            "and two units to compare."
        )
    if broad not in BROAD_RULES or restarts < 1 or (clusters and not 2 <= clusters < heads):
        raise CaptureError(
            f"clusters is {clusters}, broad {broad!r} and restarts {restarts}; clusters must be "
            f"from 2 to {heads - 1}, broad one of {', '.join(BROAD_RULES)}, restarts at least 1."
        )


def _means(scan: HeadScan) -> np.ndarray:
    """Statistics averaged over sentences: (layer, head, statistic)."""
    return np.stack([sums.sum(0) for sums, _ in scan.unit_sums()]) / len(scan.sentences)


def _silhouettes(even: np.ndarray, odd: np.ndarray, clusters: int | None) -> pd.DataFrame:
    """The table `silhouettes`: of one number of clusters, or of all to choose from."""
    most = min(MOST_CLUSTERS, len(even) - 1)
    rows = []
    for number in range(2, most + 1) if clusters is None else [clusters]:
        labels = group(even, number)
        # Of heads that are all alike, no two clusters are made.
        scores = [
            silhouette_score(half, labels, metric="precomputed") if labels.any() else 0.0
            for half in (even, odd)
        ]
        rows.append((number, *scores))
    table = pd.DataFrame(rows, columns=["clusters", *HALVES])
    return table.assign(chosen=table.index == table["even"].argmax())
