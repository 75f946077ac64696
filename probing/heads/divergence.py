"""Jensen–Shannon divergence between all pairs of heads, added up where attention is."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ...capture import Event, Site, refuse_other_positions
from ...capture.shards import Record
from ...corpora import Encoding

#: Maps are smoothed as α ← (1 − s) α + s / n (Clark et al. 2019, the released code).
SMOOTHING = 1e-3
#: From texts of more tokens, so many rows are drawn: every map of a row has to be there at once.
ROWS = 128
_TINY = torch.finfo(torch.float32).tiny


class Divergences:
    """Σ_i JS(a_i ‖ b_i) over token rows, nats, for all pairs of heads of a batch.

    Hang `observe` on a hook with `block`. Of a text of more than `ROWS` tokens, `ROWS` rows are
    drawn with the seed, the same for all heads, and the sum is scaled up to all rows.
    """

    def __init__(self, encodings: Sequence[Encoding], mask: Tensor, seed: int) -> None:
        self.mask = mask.bool()
        self.lengths = [len(encoding) for encoding in encodings]
        self.text, self.row = _drawn(self.mask.cpu(), seed)
        self.maps: dict[Site, Tensor] = {}

    def observe(self, event: Event) -> None:
        """Keep the drawn rows of one block."""
        tokens = self.mask.shape[1]
        refuse_other_positions(event, tokens)
        if event.site not in self.maps:
            self.maps[event.site] = torch.zeros(
                event.site.heads, len(self.row), tokens, device=self.mask.device
            )
        here = (self.row >= event.rows.start) & (self.row < event.rows.stop)
        places = here.nonzero().squeeze(1).to(self.mask.device)
        text, row = self.text[here], self.row[here] - event.rows.start
        rows = event.attention[text.to(self.mask.device), :, row.to(self.mask.device)].float()
        self.maps[event.site][:, places, event.keys] = rows.movedim(1, 0)

    def records(self, sites: Sequence[Site]) -> list[Record]:
        """`divergence` (1, pair), heads numbered layer by layer, pairs as `numpy.triu_indices`."""
        device = self.mask.device
        maps = torch.cat([self.maps.pop(site) for site in sites])  # (head, row, key)
        lengths = torch.tensor(self.lengths, device=device)[self.text.to(device)]
        keys = self.mask[self.text.to(device)]
        maps = ((1 - SMOOTHING) * maps + SMOOTHING / lengths[:, None]) * keys
        sums = _divergences(maps, self.text.to(device), len(self.lengths))
        drawn = torch.bincount(self.text, minlength=len(self.lengths)).to(device)
        sums *= (torch.tensor(self.lengths, device=device) / drawn)[:, None]
        return [{"divergence": row[None].float()} for row in sums.cpu()]


def _drawn(mask: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """The text and the position of each row to look at."""
    texts, rows = [], []
    for text, tokens in enumerate(mask):
        places = tokens.nonzero().squeeze(1)
        if len(places) > ROWS:
            # Seeded by the length alone: what is drawn depends on no neighbour in the batch.
            generator = np.random.default_rng([seed, len(places)])
            chosen = generator.choice(len(places), ROWS, replace=False)
            places = places[torch.from_numpy(np.sort(chosen))]
        texts.append(torch.full_like(places, text))
        rows.append(places)
    return torch.cat(texts), torch.cat(rows)


def _divergences(maps: Tensor, text: Tensor, texts: int) -> Tensor:
    """Sums over the rows of each text of JS between all pairs of maps: (text, pair)."""
    entropy = _entropy(maps)  # (head, row)
    heads = len(maps)
    found = []
    for first in range(heads - 1):
        # JS(a, b) = H((a + b) / 2) − (H(a) + H(b)) / 2
        middle = _entropy((maps[first] + maps[first + 1 :]) / 2)
        rows = middle - (entropy[first] + entropy[first + 1 :]) / 2  # (other head, row)
        sums = torch.zeros(texts, heads - first - 1, dtype=torch.float64, device=maps.device)
        found.append(sums.index_add_(0, text, rows.T.double().clamp(min=0)))
    return torch.cat(found, dim=1)


def _entropy(rows: Tensor) -> Tensor:
    return -rows.clamp(min=_TINY).log_().mul_(rows).sum(-1)
