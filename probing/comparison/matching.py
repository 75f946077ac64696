"""Which head of one model does what a head of another does: matched and scored on halves."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from ...capture import Shards
from ...stats import bootstrap_ratio, is_descriptive


@dataclass(frozen=True)
class Matching:
    """Heads of the second model for those of the first, and what the other half says of them.

    Sums are (unit, head of first), over the texts of each unit.
    """

    even: np.ndarray
    """(head of first,), the head of the second model that the even units choose; -1 for none."""
    odd: np.ndarray
    jsd: np.ndarray
    """Divergences of the pair that the other half chose."""
    unmatched: np.ndarray
    """The same of the mean over all other heads of the second model."""
    counts: np.ndarray
    """Texts in these sums."""

    def of_odd_units(self) -> np.ndarray:
        """(head of first,), divergence of the pairs that the even units chose, on odd units."""
        return self.jsd[1::2].sum(0) / self.counts[1::2].sum(0)


def match_heads(shards: Shards, units: np.ndarray) -> Matching:
    """Match heads by the Hungarian method on Jensen–Shannon divergence.

    Every head of one model is matched with at most one of the other, over all layers, so that
    the sum of divergences is least: on even units, scored on odd ones, and the reverse.

    Args:
        shards: of a pass of two models, with `all_jsd`.
        units: (text,).
    """
    halves = _half_sums(shards, units)
    even, odd = _assigned(halves[0]), _assigned(halves[1])
    heads, others = halves[0].shape
    jsd, unmatched, counts = (np.zeros((int(units.max()) + 1, heads)) for _ in range(3))
    for members, tensor in shards.tensors("all_jsd"):
        values, own = tensor.numpy().astype(float), units[members]
        match = np.where((own % 2 == 0)[:, None], odd, even)  # (text, head)
        there = match >= 0
        pair = np.take_along_axis(values, np.where(there, match, 0)[..., None], axis=2)[..., 0]
        rest = (values.sum(2) - pair) / max(others - 1, 1)
        np.add.at(jsd, own, np.where(there, pair, 0.0))
        np.add.at(unmatched, own, np.where(there, rest, 0.0))
        np.add.at(counts, own, there)
    return Matching(even, odd, jsd, unmatched, counts)


def match_table(
    matching: Matching,
    first: Sequence[tuple[int, int]],
    second: Sequence[tuple[int, int]],
    null_model: Matching | None,
    *,
    seed: int,
) -> pd.DataFrame:
    """One row per head of the first model.

    `match_layer`, `match_head` are the even half's choice (none where the second model has fewer
    heads); `jsd` pools both halves, each scored with the other's choice, over `n` texts;
    `unmatched` is the mean over all other heads of the second model and `difference` is
    unmatched − jsd, paired. `same_match`: the odd half chose the same head; `same_number`: the
    match has the layer and number of the head itself. `null_model` is `jsd` with the null model.

    Args:
        first, second: (layer, head) of every head.
    """
    counts = matching.counts
    jsd, low, high = bootstrap_ratio(matching.jsd, counts, seed=seed)
    gap = bootstrap_ratio(matching.unmatched - matching.jsd, counts, seed=seed)
    found = [second[place] if place >= 0 else (None, None) for place in matching.even]
    with np.errstate(invalid="ignore"):
        ceiling = None if null_model is None else null_model.jsd.sum(0) / null_model.counts.sum(0)
        unmatched = matching.unmatched.sum(0) / counts.sum(0)
    return pd.DataFrame(
        {
            "layer": [layer for layer, _ in first],
            "head": [head for _, head in first],
            "match_layer": pd.array([layer for layer, _ in found], dtype="Int64"),
            "match_head": pd.array([head for _, head in found], dtype="Int64"),
            "jsd": jsd,
            "ci_low": low,
            "ci_high": high,
            "n": counts.sum(0).astype(int),
            "unmatched": unmatched,
            "difference": gap[0],
            "difference_low": gap[1],
            "difference_high": gap[2],
            "same_match": matching.even == matching.odd,
            "same_number": [own == match for own, match in zip(first, found, strict=True)],
            "null_model": np.nan if ceiling is None else ceiling,
            "descriptive": is_descriptive(counts.sum(0), (counts > 0).sum(0)),
        }
    )


def _half_sums(shards: Shards, units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean divergences (head of first, head of second) over the texts of even and odd units."""
    sums: list[np.ndarray] = []
    for members, tensor in shards.tensors("all_jsd"):
        values, odd = tensor.double(), units[members] % 2 == 1
        for half, chosen in enumerate((~odd, odd)):
            part = values[chosen].sum(0).numpy()
            if len(sums) == half:
                sums.append(np.zeros_like(part))
            sums[half] += part
    totals = [(units % 2 == half).sum() for half in (0, 1)]
    return sums[0] / totals[0], sums[1] / totals[1]


def _assigned(divergence: np.ndarray) -> np.ndarray:
    """The column of each row, -1 for none."""
    match = np.full(len(divergence), -1)
    rows, columns = linear_sum_assignment(divergence)
    match[rows] = columns
    return match
