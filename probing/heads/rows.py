"""Reducing attention to statistics where it is computed, a block of rows at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...capture import Event, Site, refuse_other_positions
from ...corpora import Encoding
from .block_facts import BlockFacts

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

#: Tokens up to which what is known of blocks is kept for the next layers.
_KEPT_LENGTH = 1024


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

    def facts(self, visible: Tensor, rows: slice, keys: slice) -> BlockFacts:
        """What is known of a block of rows, of which `visible` (batch, 1, row, key) says what
        each sees."""
        columns = self.columns[:, keys]
        picked = self.columns[:, rows, 1:3].transpose(1, 2)
        return BlockFacts(self.rows[:, None, rows], visible, columns, picked, rows, keys)


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
        #: Layers share their masks, and so their baselines: by mask, the site that has them. The
        #: mask is kept beside what is known of it, so that no other object gets its id. Nothing
        #: is kept of each block: between tensors that grow, it would pin the memory they leave.
        self._even: dict[int, tuple[object, Site]] = {}
        #: What is known of each block, by mask and first row; of a book it would be too much.
        self._facts: dict[tuple[int, int], tuple[object, BlockFacts]] = {}

    def observe(self, event: Event) -> None:
        """Add one block of rows.

        Raises:
            CaptureError: the positions of the site are not the tokens.
        """
        refuse_other_positions(event, self.features.rows.shape[1])
        facts = self._known(event)
        self._add(self.values, event.site, _reduced(event.attention.float(), facts))
        self._add_baseline(event, facts)

    def _known(self, event: Event) -> BlockFacts:
        mask = event.mask_key
        if mask is None or self.features.rows.shape[1] > _KEPT_LENGTH:
            return self.features.facts(event.visible, event.rows, event.keys)
        key = id(mask), event.rows.start
        if key not in self._facts:
            facts = self.features.facts(event.visible, event.rows, event.keys)
            self._facts[key] = mask, facts
        return self._facts[key][1]

    def _add_baseline(self, event: Event, facts: BlockFacts) -> None:
        mask, site = event.mask_key, event.site
        if mask is not None:
            _, first = self._even.setdefault(id(mask), (mask, site))
            if first != site:
                self.baselines[site] = self.baselines[first]  # Its last block is long past.
                return
        even = facts.visible / facts.visible.sum(-1, keepdim=True).clamp(min=1)
        self._add(self.baselines, site, _reduced(even, facts)[:, 0])

    @staticmethod
    def _add(kept: dict[Site, Tensor], site: Site, new: Tensor) -> None:
        kept[site] = kept[site] + new if site in kept else new.double()


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
    rows = rows or slice(0, attention.shape[-2])
    keys = keys or slice(0, attention.shape[-1])
    return _reduced(attention.float(), features.facts(visible, rows, keys))


def _reduced(attention: Tensor, facts: BlockFacts) -> Tensor:
    """What `reduce_attention` returns; few operations, for short texts cost as many as they are."""
    # The vectorised logarithm takes a third of the time of `torch.special.entr`.
    logarithms = attention.clamp(min=_TINY).log_()
    # (batch, head, 4): over rows, over rows by their choices, over [CLS] rows, over [SEP] rows.
    entropy = -_weighed(logarithms.mul_(attention).sum(-1), facts.by_row)
    largest = _weighed(attention.amax(-1), facts.by_row[..., :1])
    masses = facts.weights @ attention  # (batch, head, 4, key)
    # Not broadcast over heads: that would copy what is known of the keys for each of them.
    by_key = (masses.flatten(1, 2) @ facts.by_key).unflatten(1, masses.shape[1:3])
    *features, unnamed, places = by_key[:, :, 0].split(1, dim=-1)
    near = [
        _weighed(attention.diagonal(shift, dim1=-2, dim2=-1), factor)
        for shift, factor in facts.near
    ]
    sums = {
        "entropy": entropy[..., :1],
        "entropy_normalised": entropy[..., 1:2],
        "max": largest,
        "previous": near[0][..., :1],
        "self": near[1][..., :1],
        "next": near[2][..., :1],
        OTHER: unnamed - near[0][..., 1:] - near[1][..., 1:] - near[2][..., 1:],
        "distance": _distance(attention, masses[:, :, 1], places, facts),
        **dict(zip(_COLUMN_FEATURES, features, strict=True)),
    }
    of_cls, of_sep = by_key[:, :, 2:, 1 : len(_COLUMN_FEATURES)].unbind(2)
    picked = [entropy[..., 2:3], of_cls, entropy[..., 3:], of_sep]
    return torch.cat([*(sums[name] for name in (*STATISTICS, OTHER)), *picked], dim=-1)


def _weighed(values: Tensor, factors: Tensor) -> Tensor:
    """Numbers (batch, head, row) summed with factors (batch, row, factor)."""
    return values @ factors


def _distance(attention: Tensor, moment: Tensor, places: Tensor, facts: BlockFacts) -> Tensor:
    """Sum of weight times |i − j|: (batch, head, 1)."""
    if not facts.looks_ahead:
        # Nobody looks ahead, so |i − j| = i − j, and the sums over rows are enough.
        return moment.sum(-1, keepdim=True) - places
    # A product, not a map times a map: no temporary of that size.
    by_row = torch.einsum("bhqk,qk->bhq", attention, facts.apart)
    return _weighed(by_row, facts.by_row[..., :1])
