"""Attention that stays in the text it comes from, where the model reads two."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ...capture import Event, Site
from ...capture.shards import Record
from ...corpora import Encoding


def second_text(encoding: Encoding) -> np.ndarray:
    """(token,), True for the second text of a pair; specials belong to the text before them.

    By the places of the texts' tokens, not by segment ids: RoBERTa gives 0 to both.
    """
    first = len(encoding) if encoding.second_from is None else encoding.second_from
    return np.arange(len(encoding)) >= first


class OwnSegment:
    """Weight on tokens of the query's own text; hang `observe` on a hook with `block`.

    Costs nothing where no text has a pair.
    """

    def __init__(self, encodings: Sequence[Encoding], mask: Tensor) -> None:
        self.lengths = [len(encoding) for encoding in encodings]
        self.pairs = [encoding.pair is not None for encoding in encodings]
        segments = torch.zeros(2, *mask.shape)
        for row, (encoding, tokens) in enumerate(zip(encodings, mask.cpu().bool(), strict=True)):
            if encoding.pair is None:
                continue
            second = torch.from_numpy(second_text(encoding)).float()
            segments[1, row, tokens] = second
            segments[0, row, tokens] = 1 - second
        #: (2, batch, token): whether it is in the first text, in the second.
        self.segments = segments.to(mask.device)
        self.values: dict[Site, Tensor] = {}
        self.baselines: dict[Site, Tensor] = {}

    def observe(self, event: Event) -> None:
        """Add one block of rows."""
        if not any(self.pairs):
            return
        visible = event.visible.float()
        even = visible / visible.sum(-1, keepdim=True).clamp(min=1)
        for kept, rows in ((self.values, event.attention.float()), (self.baselines, even)):
            sums = self._own(rows, event.rows, event.keys)
            kept[event.site] = kept[event.site] + sums if event.site in kept else sums

    def _own(self, attention: Tensor, rows: slice, keys: slice) -> Tensor:
        """Summed over rows: (batch, head)."""
        parts = [
            (part[:, None, None, rows] @ attention @ part[:, None, keys, None]).squeeze(-1)
            for part in self.segments
        ]
        return (parts[0] + parts[1]).squeeze(-1).double()

    def records(self, sites: Sequence[Site]) -> list[Record]:
        """`own_segment` (1, layer, head) and `own_segment_baseline` (1, layer); 1 of one text."""
        found: list[Record] = []
        for text, (length, pair) in enumerate(zip(self.lengths, self.pairs, strict=True)):
            own = torch.ones(1, len(sites), max(site.heads for site in sites))
            even = torch.ones(1, len(sites))
            if pair:
                own[0] = torch.stack([self.values[site][text].cpu() for site in sites]) / length
                even[0] = torch.stack([self.baselines[s][text, 0].cpu() for s in sites]) / length
            found.append({"own_segment": own, "own_segment_baseline": even})
        return found
