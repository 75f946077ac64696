"""Statistics of attention, one number per head and sentence (Clark et al. 2019, section 3)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ...corpora import Encoding
from ...stats import bootstrap_ratio, is_descriptive

#: The statistics of `heads.csv`, in the order of the last axis of what `reduce_attention` returns.
STATISTICS = (
    "entropy",
    "entropy_normalised",
    "max",
    "previous",
    "self",
    "next",
    "first",
    "distance",
    "cls",
    "sep",
    "punctuation",
)
#: Weight on none of the named targets; comes last on that axis and serves `head_roles` alone.
OTHER = "other"
_COLUMN_FEATURES = ("first", "cls", "sep", "punctuation")


@dataclass(frozen=True)
class TokenFeatures:
    """What the statistics need to know of the tokens of a batch."""

    rows: Tensor
    """(batch, query), 1 for tokens and 0 for padding."""
    columns: Tensor
    """(batch, key, feature): first token, cls, sep, punctuation."""

    @staticmethod
    def of(encodings: Sequence[Encoding], mask: Tensor, dtype: torch.dtype) -> "TokenFeatures":
        """Lay the features of each encoding over the tokens that the mask (batch, token) marks."""
        columns = torch.zeros(*mask.shape, len(_COLUMN_FEATURES), dtype=dtype)
        for row, encoding in enumerate(encodings):
            first = np.arange(len(encoding)) == 0
            features = np.stack([first, encoding.cls, encoding.sep, encoding.punctuation], axis=1)
            columns[row, mask[row].cpu().bool()] = torch.from_numpy(features).to(dtype)
        return TokenFeatures(mask.to(dtype), columns.to(mask.device))


def reduce_attention(attention: Tensor, visible: Tensor, features: TokenFeatures) -> Tensor:
    """Sum each statistic over the token rows of each sentence and head.

    Sums, so that blocks of rows could be added up; entropy is in nats, distance in tokens.

    Args:
        attention: (batch, head, query, key).
        visible: (batch, 1, query, key), which keys the mask lets each query see.

    Returns:
        (batch, head, statistic), in the order of `STATISTICS`, then `OTHER`.
    """
    rows = features.rows[:, None]  # (batch, 1, query)
    length = attention.shape[-1]
    places = torch.arange(length, device=attention.device)
    distance = (places[:, None] - places).abs().to(attention.dtype)
    entropy = torch.special.entr(attention).sum(-1)
    choices = visible.sum(-1).to(attention.dtype)  # (batch, 1, query)
    # A row that sees one key has nothing to choose: it counts 0.
    normalised = torch.where(choices > 1, entropy / choices.clamp(min=2).log(), 0.0)
    mass = (rows[:, :, None] @ attention).squeeze(2)  # (batch, head, key)
    by_column = dict(zip(_COLUMN_FEATURES, (mass @ features.columns).unbind(-1), strict=True))
    sums = {
        "entropy": (entropy * rows).sum(-1),
        "entropy_normalised": (normalised * rows).sum(-1),
        "max": (attention.amax(-1) * rows).sum(-1),
        "previous": _diagonal(attention, -1, rows),
        "self": _diagonal(attention, 0, rows),
        "next": _diagonal(attention, 1, rows),
        OTHER: _elsewhere(attention, distance, features),
        "distance": ((attention * distance).sum(-1) * rows).sum(-1),
        **by_column,
    }
    return torch.stack([sums[name] for name in (*STATISTICS, OTHER)], dim=-1)


def _elsewhere(attention: Tensor, distance: Tensor, features: TokenFeatures) -> Tensor:
    """Weight on keys that are no neighbour, no special token, not first and no punctuation."""
    unnamed = (features.columns.sum(-1) == 0).to(attention.dtype)  # (batch, key)
    rows = features.rows[:, None, :, None] * (distance > 1)
    return ((attention * rows).sum(2) * unnamed[:, None]).sum(-1)


def _diagonal(attention: Tensor, offset: int, rows: Tensor) -> Tensor:
    """Weight on position i + offset, summed over rows; a row without that neighbour counts 0."""
    weights = attention.diagonal(offset, dim1=-2, dim2=-1)
    length = weights.shape[-1]
    present = rows[..., -length:] if offset < 0 else rows[..., :length]
    return (weights * present).sum(-1)


def statistics_table(
    values: np.ndarray,
    baselines: np.ndarray,
    units: np.ndarray,
    present: Sequence[str],
    *,
    seed: int,
) -> pd.DataFrame:
    """The table `heads.csv`: means over sentences with intervals and baselines.

    `difference` is mean − baseline, with its own paired interval.

    Args:
        values: (sentence, layer, head, statistic).
        baselines: (sentence, layer, statistic), the same for evenly spread attention.
        units: (sentence,), the unit that each sentence belongs to.
        present: the statistics that have a row (a tokenizer without [CLS] has no `cls`).
    """
    chosen = [(*STATISTICS, OTHER).index(name) for name in present]
    values, baselines = values[..., chosen], baselines[..., None, :][..., chosen]
    baselines = np.broadcast_to(baselines, values.shape)
    count = np.bincount(units).astype(float)
    mean, low, high = bootstrap_ratio(_by_unit(values, units), count, seed=seed)
    gap, gap_low, gap_high = bootstrap_ratio(_by_unit(values - baselines, units), count, seed=seed)
    layers, heads, _ = mean.shape
    index = pd.MultiIndex.from_product(
        [range(layers), range(heads), present], names=["layer", "head", "statistic"]
    )
    table = pd.DataFrame(
        {
            "mean": mean.ravel(),
            "ci_low": low.ravel(),
            "ci_high": high.ravel(),
            "n": len(values),
            "baseline": (mean - gap).ravel(),
            "difference": gap.ravel(),
            "difference_low": gap_low.ravel(),
            "difference_high": gap_high.ravel(),
            "descriptive": bool(is_descriptive(len(values), len(count))),
        },
        index=index,
    )
    return table.reset_index()


def _by_unit(values: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Sums over the sentences of each unit: (unit, …)."""
    sums = np.zeros((units.max() + 1, *values.shape[1:]))
    np.add.at(sums, units, values)
    return sums
