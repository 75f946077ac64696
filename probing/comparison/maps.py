"""The rows of every head's map on the texts of a batch, and how far apart two models' rows are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...capture import (
    Batch,
    Event,
    Hook,
    Site,
    collate,
    hidden_states,
    hooked,
    refuse_infinite,
    refuse_other_positions,
)
from ...corpora import Encoding
from ...models import LoadedModel
from ..heads.relations import membership
from ..heads.rows import block_size

#: From texts of more rows, so many are drawn: the rows of every head have to be there at once.
ROWS = 128
_TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class Rows:
    """The rows to look at of each text of a batch."""

    text: Tensor
    """(row,), the text of the batch."""
    place: Tensor
    """(row,), the token or word of the text."""
    texts: int

    @staticmethod
    def of(places: Sequence[np.ndarray], seed: int) -> "Rows":
        """All rows of each text, or `ROWS` of them, drawn."""
        chosen = [_drawn(rows, seed) for rows in places]
        text = np.repeat(np.arange(len(chosen)), [len(rows) for rows in chosen])
        return Rows(torch.from_numpy(text), torch.from_numpy(np.concatenate(chosen)), len(chosen))

    def means(self, values: Tensor) -> Tensor:
        """Average over the rows of each text: (…, row) to (text, …), in double precision."""
        text = self.text.to(values.device)
        sums = values.new_zeros((self.texts, *values.shape[:-1]), dtype=torch.float64)
        sums.index_add_(0, text, values.movedim(-1, 0).double())
        counts = torch.bincount(text, minlength=self.texts)
        return sums / counts.view(-1, *[1] * (values.dim() - 1))


@dataclass(frozen=True)
class Read:
    """What one model made of a batch."""

    maps: Tensor
    """(head, row, key): heads layer by layer, rows as in `Rows`, keys the tokens or words."""
    states: list[Tensor]
    """Hidden states (batch, token, hidden)."""


def read_rows(model: LoadedModel, encodings: Sequence[Encoding], rows: Rows, maps: str) -> Read:
    """Run a model on texts and keep the rows.

    Between words, the row of a word is the mean over its tokens, the columns of a word's tokens
    are summed, and a first column holds what goes to tokens of no word: rows still sum to 1.

    Raises:
        CaptureError: attention that is not finite, or whose positions are not the tokens.
    """
    batch = collate(encodings, model)
    collector: _Tokens | _Words = _Words(batch) if maps == "word" else _Tokens(batch, rows)
    hook = Hook(observe=collector.observe, block=block_size(model.device))
    with torch.no_grad(), hooked(model.reader, hook) as sites, hidden_states(model.reader) as kept:
        model.reader(**batch.inputs)
    found = [collector.rows(site, rows) for site in sites]
    sums = torch.stack([rows.means(one.sum((0, 2))) for one in found], dim=1)
    refuse_infinite(sums.cpu().numpy(), sites, encodings)
    return Read(torch.cat(found), list(kept))


class _Tokens:
    """Chosen rows of maps between tokens; hang `observe` on a hook with `block`."""

    def __init__(self, batch: Batch, rows: Rows) -> None:
        self.tokens = batch.mask.shape[1]
        self.text, self.place = rows.text, rows.place
        self.maps: dict[Site, Tensor] = {}

    def observe(self, event: Event) -> None:
        refuse_other_positions(event, self.tokens)
        attention = event.attention
        if event.site not in self.maps:
            shape = event.site.heads, len(self.text), self.tokens
            self.maps[event.site] = torch.zeros(shape, device=attention.device)
        here = ((self.place >= event.rows.start) & (self.place < event.rows.stop)).nonzero()[:, 0]
        text, row = self.text[here], self.place[here] - event.rows.start
        block = attention[text.to(attention.device), :, row.to(attention.device)].float()
        self.maps[event.site][:, here.to(attention.device), event.keys] = block.movedim(1, 0)

    def rows(self, site: Site, _: Rows) -> Tensor:
        return self.maps.pop(site)


class _Words:
    """Maps between words with a column for no word; hang `observe` on a hook with `block`."""

    def __init__(self, batch: Batch) -> None:
        belongs = membership(batch.encodings, batch.mask, torch.float32)
        none = batch.mask.float() - belongs.sum(-1)
        # That column comes first: its place is then the same however many words a batch has.
        self.columns = torch.cat([none[..., None], belongs], dim=-1)  # (batch, token, 1 + word)
        sizes = belongs.sum(1, keepdim=True).clamp(min=1)
        self.averaging = (belongs / sizes).transpose(1, 2)[:, None]  # (batch, 1, word, token)
        self.maps: dict[Site, Tensor] = {}

    def observe(self, event: Event) -> None:
        refuse_other_positions(event, self.columns.shape[1])
        spread = event.attention.float() @ self.columns[:, None, event.keys]
        part = self.averaging[..., event.rows] @ spread
        known = self.maps.get(event.site)
        self.maps[event.site] = part if known is None else known + part

    def rows(self, site: Site, rows: Rows) -> Tensor:
        maps = self.maps.pop(site)
        return maps[rows.text.to(maps.device), :, rows.place.to(maps.device)].movedim(1, 0)


def cosines(first: Tensor, second: Tensor, rows: Rows) -> Tensor:
    """Cosine of the flattened maps of heads of the same number: (text, head)."""
    dot = rows.means((first * second).sum(-1))
    sizes = [rows.means((one**2).sum(-1)) for one in (first, second)]
    return dot / (sizes[0] * sizes[1]).sqrt()


def divergences(first: Tensor, second: Tensor, rows: Rows) -> Tensor:
    """Jensen–Shannon divergence of heads of the same number, nats, mean over rows: (text, head)."""
    return rows.means(_divergence(first, second, _entropy(first), _entropy(second)))


def all_divergences(first: Tensor, second: Tensor, rows: Rows) -> Tensor:
    """The same between every head of one model and every head of the other: (text, head, head)."""
    entropies = _entropy(first), _entropy(second)
    found = [
        rows.means(_divergence(first[head], second, entropies[0][head], entropies[1]))
        for head in range(len(first))
    ]
    return torch.stack(found, dim=1)


def _divergence(first: Tensor, second: Tensor, own: Tensor, other: Tensor) -> Tensor:
    # JS(a, b) = H((a + b) / 2) − (H(a) + H(b)) / 2, which rounding takes below 0.
    return (_entropy((first + second) / 2) - (own + other) / 2).clamp(min=0)


def _entropy(rows: Tensor) -> Tensor:
    return -rows.clamp(min=_TINY).log_().mul_(rows).sum(-1)


def _drawn(rows: np.ndarray, seed: int) -> np.ndarray:
    if len(rows) <= ROWS:
        return rows
    # Seeded by their number alone: what is drawn depends on no neighbour in the batch.
    generator = np.random.default_rng([seed, len(rows)])
    return np.sort(generator.choice(rows, ROWS, replace=False))
