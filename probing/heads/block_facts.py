"""What the statistics need to know of a block of rows, beside its attention."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class BlockFacts:
    """Layers that share a mask share these: computed once, they make each layer a few products."""

    counted: Tensor
    """(batch, 1, row), 1 for tokens and 0 for padding."""
    visible: Tensor
    """(batch, 1, row, key)."""
    columns: Tensor
    """(batch, key, feature): first token, cls, sep, punctuation."""
    picked: Tensor
    """(batch, 2, row): whether a row is that of [CLS], of [SEP]."""
    rows: slice
    keys: slice

    @cached_property
    def by_row(self) -> Tensor:
        """(batch, row, 4), what a number of each row is weighed by: 1, 1 / ln of the visible
        keys (0 where one key is visible: nothing to choose), whether [CLS], whether [SEP]."""
        choices = self.visible.sum(-1).float()
        scale = torch.where(choices > 1, self.counted / choices.clamp(min=2).log(), 0.0)
        return torch.cat([self.counted, scale, self.picked], dim=1).transpose(1, 2)

    @cached_property
    def weights(self) -> Tensor:
        """(batch, 1, 4, row): 1, the position of the row, whether [CLS], whether [SEP]."""
        device = self.counted.device
        places = torch.arange(self.rows.start, self.rows.stop, device=device).float()
        return torch.cat([self.counted, self.counted * places, self.picked], dim=1)[:, None]

    @cached_property
    def by_key(self) -> Tensor:
        """(batch, key, feature + 2): the columns, whether a key has no name, its position."""
        unnamed = (self.columns.sum(-1, keepdim=True) == 0).float()
        device = self.columns.device
        places = torch.arange(self.keys.start, self.keys.stop, device=device).float()
        places = places[:, None].expand(*self.columns.shape[:2], 1)
        return torch.cat([self.columns, unnamed, places], dim=-1)

    @cached_property
    def near(self) -> tuple[tuple[int, Tensor], ...]:
        """For the key before, itself and the one after: which diagonal of the block that is, and
        (batch, place on it, 2): whether the row counts, and whether the key has no name too."""
        unnamed, rows = self.by_key[..., -2], self.counted[:, 0]
        found = []
        for offset in (-1, 0, 1):
            shift = self.rows.start + offset - self.keys.start
            first = max(0, -shift)
            length = max(0, min(rows.shape[1] - first, unnamed.shape[1] - first - shift))
            counted = rows[:, first : first + length]
            named = unnamed[:, first + shift : first + shift + length]
            found.append((shift, torch.stack([counted, counted * named], dim=-1)))
        return tuple(found)

    @cached_property
    def looks_ahead(self) -> bool:
        """Whether a row sees a key after it."""
        device = self.visible.device
        columns = torch.arange(self.keys.start, self.keys.stop, device=device)
        places = torch.arange(self.rows.start, self.rows.stop, device=device)
        beyond = max(0, self.rows.start + 1 - self.keys.start)
        return bool((self.visible[..., beyond:] & (columns[beyond:] > places[:, None])).any())

    @cached_property
    def apart(self) -> Tensor:
        """(row, key), in tokens."""
        device = self.visible.device
        columns = torch.arange(self.keys.start, self.keys.stop, device=device).float()
        places = torch.arange(self.rows.start, self.rows.stop, device=device).float()
        return (places[:, None] - columns).abs()
