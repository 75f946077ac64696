"""Reducing attention to statistics where it is computed, a block of rows at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...capture import Event, Site, refuse_other_positions
from ...corpora import Encoding

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
#: After these come the sums over [CLS] rows alone and over [SEP] rows alone, of these each.
PICKED_ROWS = ("cls", "sep")
OF_PICKED_ROWS = ("entropy", "cls", "sep", "punctuation")

#: Stands for 0 under a logarithm whose result is multiplied by 0.
_TINY = torch.finfo(torch.float32).tiny
#: Attention weights to hold at a time: few enough for the cache of a CPU, enough to keep an
#: accelerator busy.
BLOCK, ACCELERATOR_BLOCK = 1 << 20, 1 << 26


def block_size(device: torch.device) -> int:
    """How many attention weights to look at at a time on a device."""
    return BLOCK if device.type == "cpu" else ACCELERATOR_BLOCK


@dataclass(frozen=True)
class TokenFeatures:
    """What the statistics need to know of the tokens of a batch."""

    rows: Tensor
    """(batch, query), 1 for tokens and 0 for padding."""
    columns: Tensor
    """(batch, key, feature): first token, cls, sep, punctuation."""

    @staticmethod
    def of(encodings: Sequence[Encoding], mask: Tensor) -> "TokenFeatures":
        """Lay the features of each encoding over the tokens that the mask (batch, token) marks."""
        # Filled on the CPU and moved once: a device is slow to be asked about each text.
        columns = np.zeros((*mask.shape, len(_COLUMN_FEATURES)), dtype=np.float32)
        for row, (encoding, tokens) in enumerate(zip(encodings, mask.cpu().bool(), strict=True)):
            first = np.arange(len(encoding)) == 0
            features = [first, encoding.cls, encoding.sep, encoding.punctuation]
            columns[row, tokens.numpy()] = np.stack(features, axis=1)
        return TokenFeatures(mask.float(), torch.from_numpy(columns).to(mask.device))


class RowSums:
    """Sums of every statistic over the rows of each site; hang `observe` on a hook with `block`.

    `values` holds (batch, head, statistic) for each site, `baselines` (batch, statistic), the
    same for attention spread evenly over the visible keys. Sums are kept in double precision,
    blocks reduced in single precision, whatever the model computes in.
    """

    def __init__(self, features: TokenFeatures) -> None:
        self.features = features
        self.values: dict[Site, Tensor] = {}
        self.baselines: dict[Site, Tensor] = {}
        #: Layers share their masks, and so their baselines: by mask and first row.
        self._even: dict[tuple[int, int], tuple[object, Tensor]] = {}

    def observe(self, event: Event) -> None:
        """Add one block of rows.

        Raises:
            CaptureError: the positions of the site are not the tokens.
        """
        refuse_other_positions(event, self.features.rows.shape[1])
        sums = reduce_attention(
            event.attention, event.visible, self.features, event.rows, event.keys
        )
        baseline = self._baseline(event)
        for kept, new in ((self.values, sums), (self.baselines, baseline)):
            kept[event.site] = kept[event.site] + new if event.site in kept else new.double()

    def _baseline(self, event: Event) -> Tensor:
        key = (id(event.mask_key), event.rows.start)
        if event.mask_key is not None and key in self._even:
            return self._even[key][1]
        visible = event.visible
        even = visible / visible.sum(-1, keepdim=True).clamp(min=1)
        sums = reduce_attention(even, visible, self.features, event.rows, event.keys)[:, 0]
        # The mask is kept beside its baseline, so that no other object gets its id.
        self._even[key] = event.mask_key, sums
        return sums


def reduce_attention(
    attention: Tensor,
    visible: Tensor,
    features: TokenFeatures,
    rows: slice | None = None,
    keys: slice | None = None,
) -> Tensor:
    """Sum each statistic over the token rows of each sentence and head.

    Sums, so that blocks of rows add up; entropy is in nats, distance in tokens.

    Args:
        attention: (batch, head, row, key).
        visible: (batch, 1, row, key), which keys the mask lets each query see.
        rows, keys: the positions that the last two axes stand for (default: all).

    Returns:
        (batch, head, statistic), in the order of `STATISTICS`, then `OTHER`, then for each of
        `PICKED_ROWS` the sums over those rows alone of `OF_PICKED_ROWS`.
    """
    attention = attention.float()
    rows = rows or slice(0, attention.shape[-2])
    keys = keys or slice(0, attention.shape[-1])
    counted = features.rows[:, None, rows]  # (batch, 1, row)
    columns = features.columns[:, keys]
    # The vectorised logarithm takes a third of the time of `torch.special.entr`.
    entropy = -attention.clamp(min=_TINY).log_().mul_(attention).sum(-1)
    choices = visible.sum(-1).float()  # (batch, 1, row)
    # A row that sees one key has nothing to choose: it counts 0.
    normalised = torch.where(choices > 1, entropy / choices.clamp(min=2).log(), 0.0)
    places = torch.arange(rows.start, rows.stop, device=attention.device).float()
    kinds = features.columns[:, rows, 1:3].transpose(1, 2)[:, None]  # (batch, 1, 2, row)
    weights = torch.cat([counted[:, :, None], (counted * places)[:, :, None], kinds], dim=2)
    masses = weights @ attention  # (batch, head, 4, key)
    mass, moment = masses[:, :, 0], masses[:, :, 1]
    by_column = dict(zip(_COLUMN_FEATURES, (mass @ columns).unbind(-1), strict=True))
    near = [_Diagonal.of(attention, offset, rows, keys) for offset in (-1, 0, 1)]
    previous, itself, following = (diagonal.sums(counted) for diagonal in near)
    unnamed = (columns.sum(-1) == 0).float()  # (batch, key)
    elsewhere = (mass @ unnamed[:, :, None]).squeeze(-1)
    sums = {
        "entropy": (entropy * counted).sum(-1),
        "entropy_normalised": (normalised * counted).sum(-1),
        "max": (attention.amax(-1) * counted).sum(-1),
        "previous": previous,
        "self": itself,
        "next": following,
        OTHER: elsewhere - sum(diagonal.sums(counted, unnamed) for diagonal in near),
        "distance": _distance(attention, visible, counted, mass, moment, rows, keys),
        **by_column,
    }
    everywhere = torch.stack([sums[name] for name in (*STATISTICS, OTHER)], dim=-1)
    picked = torch.cat(
        [
            (kinds * entropy[:, :, None]).sum(-1, keepdim=True),
            masses[:, :, 2:] @ columns[:, None, :, 1:],
        ],
        dim=-1,
    )
    return torch.cat([everywhere, picked.flatten(2)], dim=-1)


def _distance(
    attention: Tensor,
    visible: Tensor,
    counted: Tensor,
    mass: Tensor,
    moment: Tensor,
    rows: slice,
    keys: slice,
) -> Tensor:
    """Sum of weight times |i - j|: (batch, head)."""
    device = attention.device
    columns = torch.arange(keys.start, keys.stop, device=device).float()
    places = torch.arange(rows.start, rows.stop, device=device).float()
    beyond = max(0, rows.start + 1 - keys.start)
    ahead = columns[beyond:] > places[:, None]
    if not (visible[..., beyond:] & ahead).any():
        # Nobody looks ahead, so |i - j| = i - j, and the sums over rows are enough.
        return moment.sum(-1) - mass @ columns
    apart = (places[:, None] - columns).abs()
    return ((attention * apart).sum(-1) * counted).sum(-1)


@dataclass(frozen=True)
class _Diagonal:
    """The weights on position i + offset in a block of rows."""

    weights: Tensor
    """(batch, head, row of those that have such a key in the block)."""
    rows: slice
    keys: slice

    @staticmethod
    def of(attention: Tensor, offset: int, rows: slice, keys: slice) -> "_Diagonal":
        shift = rows.start + offset - keys.start
        weights = attention.diagonal(shift, dim1=-2, dim2=-1)
        first, length = max(0, -shift), weights.shape[-1]
        start = first + shift
        return _Diagonal(weights, slice(first, first + length), slice(start, start + length))

    def sums(self, counted: Tensor, columns: Tensor | None = None) -> Tensor:
        """Summed over rows, of keys weighed by `columns` (batch, key): (batch, head)."""
        factor = counted[..., self.rows]
        if columns is not None:
            factor = factor * columns[:, None, self.keys]
        return (self.weights * factor).sum(-1)
