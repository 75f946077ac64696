"""Batches: padded tensors of several encodings, and the plan that forms them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..corpora import Encoding
from ..models import LoadedModel, first_position


@dataclass(frozen=True)
class Batch:
    """Encodings padded to one length; tensors have shape (batch, token)."""

    encodings: list[Encoding]
    inputs: dict[str, Tensor]
    """What the module is called with."""

    def __len__(self) -> int:
        return len(self.encodings)

    @property
    def mask(self) -> Tensor:
        """1 for tokens, 0 for padding."""
        return self.inputs["attention_mask"]

    @property
    def lengths(self) -> list[int]:
        return [len(encoding) for encoding in self.encodings]


def collate(encodings: Sequence[Encoding], model: LoadedModel, side: str = "right") -> Batch:
    """Pad encodings for a loaded model.

    With `side="left"` positions are given explicitly, so that padding moves no token.
    """
    width = max(len(encoding) for encoding in encodings)
    pad = model.tokenizer.pad_token_id or 0
    ids = torch.full((len(encodings), width), pad, dtype=torch.long)
    mask, segments = torch.zeros_like(ids), torch.zeros_like(ids)
    for row, encoding in enumerate(encodings):
        start = width - len(encoding) if side == "left" else 0
        place = slice(start, start + len(encoding))
        ids[row, place] = torch.from_numpy(encoding.ids)
        mask[row, place] = 1
        segments[row, place] = torch.from_numpy(encoding.segments)
    inputs = {"input_ids": ids, "attention_mask": mask}
    # GPT-2 accepts segments but reads them as words; the tokenizer knows who wants them.
    if "token_type_ids" in model.tokenizer.model_input_names:
        inputs["token_type_ids"] = segments
    if side == "left":
        inputs["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0) + first_position(model.module)
    return Batch(list(encodings), {k: v.to(model.device) for k, v in inputs.items()})


def plan(lengths: Sequence[int], token_budget: int, *, mix_lengths: bool = True) -> list[list[int]]:
    """Indices of each batch: sorted by length, padded tokens within the budget.

    A text longer than the budget forms a batch of its own. The plan depends on the lengths
    alone, so a resumed run forms the same batches.

    Args:
        mix_lengths: whether a batch may hold texts of different lengths, and so padding.
    """
    batches: list[list[int]] = []
    current: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        # Lengths only grow, so the newest text is the width of the batch.
        full = lengths[index] * (len(current) + 1) > token_budget
        other = current and not mix_lengths and lengths[index] != lengths[current[-1]]
        if current and (full or other):
            batches.append(current)
            current = []
        current.append(index)
    if current:
        batches.append(current)
    return batches
