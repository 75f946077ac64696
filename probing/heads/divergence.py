"""Jensen–Shannon divergence between all pairs of heads, added up where attention is."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ...capture import Event, Site, refuse_other_positions
from ...capture.shards import Record
from ...corpora import Encoding

#: Maps are smoothed as α ← (1 − s) α + s / n over the n tokens of the text (Clark et al. 2019, the
#: released code), so that no logarithm meets 0.
SMOOTHING = 1e-3
#: Of a text, as many rows are looked at as have so many weights together, in each head: all of
#: them up to 256 tokens, 128 of 512. Every head's map of a row has to be there at once.
WEIGHTS = 1 << 16
#: Weights of all heads to hold at a time: with their sums and logarithms, the L2 cache of a CPU.
_BLOCK, _ACCELERATOR_BLOCK = 1 << 17, 1 << 24
_TINY = torch.finfo(torch.float32).tiny


class Divergences:
    """Σ_i JS(a_i ‖ b_i) over token rows, nats, for all pairs of heads of a batch.

    Hang `observe` on a hook with `block`. Of a long text (see `WEIGHTS`) rows are drawn, the same
    for all heads, and the sum is scaled up to all rows.
    """

    def __init__(self, encodings: Sequence[Encoding], mask: Tensor, seed: int) -> None:
        self.mask = mask.bool()
        self.lengths = torch.tensor([len(encoding) for encoding in encodings])
        places = [
            _rows(encoding, own, seed)
            for encoding, own in zip(encodings, self.mask.cpu(), strict=True)
        ]
        self.drawn = torch.tensor([len(rows) for rows in places])
        self.text = torch.arange(len(places)).repeat_interleave(self.drawn)
        self.row = torch.cat(places)
        self.maps: dict[Site, Tensor] = {}

    def observe(self, event: Event) -> None:
        """Keep the drawn rows of one block."""
        tokens, device = self.mask.shape[1], self.mask.device
        refuse_other_positions(event, tokens)
        if event.site not in self.maps:
            self.maps[event.site] = torch.zeros(
                event.site.heads, len(self.row), tokens, device=device
            )
        here = (self.row >= event.rows.start) & (self.row < event.rows.stop)
        text, row = self.text[here].to(device), self.row[here].to(device) - event.rows.start
        rows = event.attention[text, :, row].float()  # (row, head, key)
        places = here.nonzero().squeeze(1).to(device)
        self.maps[event.site][:, places, event.keys] = rows.movedim(1, 0)

    def records(self, sites: Sequence[Site]) -> list[Record]:
        """`divergence` (1, pair) and `divergence_rows` (1,), how many rows it is the sum of.

        Heads are numbered layer by layer, pairs as `numpy.triu_indices(heads, 1)`.
        """
        maps = [self.maps.pop(site) for site in sites]
        sums = divergence_sums(maps, self.mask, self.text.to(self.mask.device)).cpu()
        sums *= (self.lengths.double() / self.drawn)[:, None]
        return [
            {"divergence": own[None].float(), "divergence_rows": rows[None].int()}
            for own, rows in zip(sums, self.lengths, strict=True)
        ]


def divergence_sums(
    maps: Sequence[Tensor], mask: Tensor, text: Tensor, *, smoothing: float = SMOOTHING
) -> Tensor:
    """Sums over the rows of each text of JS between all pairs of maps, in nats.

    Args:
        maps: per layer (head, row, key).
        mask: (text, key), True for tokens, False for padding.
        text: (row,), the text that each row belongs to, ascending.
        smoothing: the share of a row that is spread evenly over the tokens of the text.

    Returns:
        (text, pair), pairs as `numpy.triu_indices(heads, 1)`; double precision.
    """
    heads, keys = sum(len(layer) for layer in maps), mask.shape[1]
    tokens = mask.sum(1)
    first, second = torch.triu_indices(heads, heads, 1, device=mask.device)
    own = torch.zeros(heads, len(mask), dtype=torch.float64, device=mask.device)
    middle = torch.zeros(len(first), len(mask), dtype=torch.float64, device=mask.device)
    block = _BLOCK if mask.device.type == "cpu" else _ACCELERATOR_BLOCK
    # Of many heads and few keys, the sums of the pairs are what takes space.
    step = max(1, block // (heads * max(keys, heads // 8)))
    for start in range(0, len(text), step):
        rows = slice(start, start + step)
        half = _halves([layer[:, rows] for layer in maps], tokens[text[rows]], smoothing)
        # JS(a, b) = Σ (a ln a + b ln b) / 2 − Σ m ln m, where m = (a + b) / 2
        of_pairs = [_weigh(half[i] + half[i + 1 :]) for i in range(heads - 1)]
        own.index_add_(1, text[rows], _weigh(half + half).double())
        middle.index_add_(1, text[rows], torch.cat(of_pairs).double())
    # Rounding may leave the divergence of like maps a little below 0.
    return ((own[first] + own[second]) / 2 - middle).clamp_(min=0).T


def _halves(maps: Sequence[Tensor], tokens: Tensor, smoothing: float) -> Tensor:
    """Half of the smoothed maps, without the keys that no head looks at: (head, key, row).

    There, padding included, the smoothed maps agree, and add nothing to any divergence.
    """
    together = torch.cat(list(maps))
    seen = (together > 0).any(0).any(0).nonzero().squeeze(1)
    span = slice(int(seen[0]), int(seen[-1]) + 1) if len(seen) else slice(0)
    smoothed = (1 - smoothing) * together[..., span] + smoothing / tokens[:, None]
    # The least number stands for 0 under a logarithm whose result is multiplied by 0. Rows come
    # last: sums over so few keys are slow if the keys lie side by side.
    return smoothed.div_(2).clamp_(min=_TINY).mT.contiguous()


def _weigh(maps: Tensor) -> Tensor:
    """Σ α ln α over keys, from (…, key, row) to (…, row)."""
    return maps.log().mul_(maps).sum(-2)


def _rows(encoding: Encoding, mask: Tensor, seed: int) -> Tensor:
    """The positions of the rows of a text to look at, ascending."""
    places = mask.nonzero().squeeze(1)
    size = max(1, WEIGHTS // len(places))
    if len(places) <= size:
        return places
    # Seeded by the text: what is drawn depends on no neighbour in the batch.
    generator = np.random.default_rng([seed, *encoding.ids.tolist()])
    chosen = np.sort(generator.choice(len(places), size, replace=False))
    return places[torch.from_numpy(chosen)]
