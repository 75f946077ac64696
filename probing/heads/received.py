"""Attention that each word receives: the columns of a map, averaged over its rows."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...capture import Event, Site, refuse_other_positions
from ...capture.shards import Record
from ...corpora import Encoding


class Received:
    """Column means of every head of a batch; hang `observe` on a hook with `block`.

    c_j = (1/n) Σ_i α_ij over all n token rows, specials included (Kovaleva et al. 2019, 4.4);
    the columns of a word's tokens are summed. Of several [SEP] tokens the largest counts.
    """

    def __init__(self, encodings: Sequence[Encoding], mask: Tensor) -> None:
        self.encodings = encodings
        self.mask = mask.bool()
        self.rows = mask.float()[:, None, None]  # (batch, 1, 1, query)
        self.mass: dict[Site, Tensor] = {}

    def observe(self, event: Event) -> None:
        """Add one block of rows."""
        refuse_other_positions(event, self.mask.shape[1])
        if event.site not in self.mass:
            batch, tokens = self.mask.shape
            self.mass[event.site] = torch.zeros(
                batch, event.site.heads, tokens, device=self.mask.device
            )
        part = self.rows[..., event.rows] @ event.attention.float()
        self.mass[event.site][..., event.keys] += part.squeeze(2)

    def records(self, sites: Sequence[Site]) -> list[Record]:
        """`received` (word, layer, head) and `received_specials` (1, layer, head, 2): cls, sep."""
        columns = torch.stack([self.mass[site] for site in sites], dim=1).cpu()
        return [
            self._record(encoding, columns[i][..., self.mask[i].cpu()])
            for i, encoding in enumerate(self.encodings)
        ]

    @staticmethod
    def _record(encoding: Encoding, columns: Tensor) -> Record:
        columns = columns / len(encoding)  # (layer, head, token)
        layers, heads, _ = columns.shape
        inside = torch.from_numpy(encoding.words >= 0)
        words = torch.zeros(len(encoding.sentence), layers, heads)
        words.index_add_(
            0, torch.from_numpy(encoding.words)[inside], columns[..., inside].movedim(-1, 0)
        )
        specials = torch.zeros(1, layers, heads, 2)
        if encoding.cls.any():
            specials[0, ..., 0] = columns[..., torch.from_numpy(encoding.cls)].amax(-1)
        if encoding.sep.any():
            specials[0, ..., 1] = columns[..., torch.from_numpy(encoding.sep)].amax(-1)
        return {"received": words, "received_specials": specials}
