"""Attention by the kind of token that pays it: [CLS] rows, [SEP] rows and all others."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ...capture import Event, Site
from ...corpora import Encoding
from .rows import STATISTICS, TokenFeatures

#: Kinds of query rows (Clark et al. 2019, sections 3.2 and 3.3).
QUERIES = ("cls", "sep", "other")
#: What is averaged over the rows of each kind.
BY_QUERY = ("entropy", "cls", "sep", "punctuation")

_TINY = torch.finfo(torch.float32).tiny


class QueryRows:
    """Sums over [CLS] rows and over [SEP] rows; hang `observe` on a hook with `block`.

    These rows are few, so they are picked out; what all other rows pay is the rest of the sums
    over every row, which `RowSums` has.
    """

    def __init__(self, encodings: Sequence[Encoding], mask: Tensor, features: TokenFeatures):
        kinds = np.zeros((2, *mask.shape), dtype=bool)
        for row, encoding in enumerate(encodings):
            tokens = mask[row].cpu().numpy().astype(bool)
            kinds[:, row, tokens] = np.stack([encoding.cls, encoding.sep])
        self.kinds = torch.from_numpy(kinds).to(mask.device)
        # A special that serves as both counts as [CLS].
        self.kinds[1] &= ~self.kinds[0]
        #: (batch, 3), how many rows of each kind there are.
        counts = self.kinds.sum(-1).T.double()
        self.counts = torch.cat([counts, (mask.sum(-1) - counts.sum(-1))[:, None]], dim=1)
        # Without the first column of features, which is the first token.
        self.columns = features.columns[..., 1:]
        self.values: dict[Site, Tensor] = {}
        self.baselines: dict[Site, Tensor] = {}

    def observe(self, event: Event) -> None:
        """Add one block of rows."""
        batch, heads = self.kinds.shape[1], event.site.heads
        if event.site not in self.values:
            shape = batch, heads, len(QUERIES) - 1, len(BY_QUERY)
            self.values[event.site] = torch.zeros(
                shape, dtype=torch.float64, device=self.kinds.device
            )
            self.baselines[event.site] = torch.zeros_like(self.values[event.site][:, :1])
        for kind in range(len(QUERIES) - 1):
            text, row = self.kinds[kind][:, event.rows].nonzero(as_tuple=True)
            if len(text) == 0:
                continue
            visible = event.visible[text, :, row].float()  # (picked, 1, key)
            even = visible / visible.sum(-1, keepdim=True).clamp(min=1)
            columns = self.columns[text][:, event.keys]
            for kept, rows in (
                (self.values, event.attention[text, :, row].float()),
                (self.baselines, even),
            ):
                sums = torch.zeros_like(kept[event.site][:, :, kind])
                sums.index_add_(0, text, _reduced(rows, columns).double())
                kept[event.site][:, :, kind] += sums

    def means(self, picked: Tensor, everything: Tensor) -> Tensor:
        """Means over the rows of each kind: (batch, head, kind, statistic), in single precision.

        NaN where a text has no row of a kind.

        Args:
            picked: (batch, head, 2, statistic), from `values` or `baselines`.
            everything: (batch, head, statistic of `heads.csv`), summed over all rows.
        """
        columns = [STATISTICS.index(name) for name in BY_QUERY]
        rest = everything[..., columns] - picked.sum(2)
        sums = torch.cat([picked, rest[:, :, None]], dim=2)
        return (sums / self.counts[:, None, :, None]).float().cpu()


def _reduced(rows: Tensor, columns: Tensor) -> Tensor:
    """Each statistic of rows (picked, head, key): (picked, head, statistic)."""
    entropy = -(rows.clamp(min=_TINY).log() * rows).sum(-1, keepdim=True)
    return torch.cat([entropy, rows @ columns], dim=-1)
