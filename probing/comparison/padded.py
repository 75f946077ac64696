"""The cosine of maps as the code of Kovaleva et al. 2019 has it: padded, and not cropped.

Rows of padding attend to the text like any other, and so they count; the paper does not say so.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ...capture import Event, Hook, collate, hooked, refuse_other_positions
from ...corpora import Encoding
from ...models import LoadedModel
from ..heads.rows import block_size


def padded_maps(model: LoadedModel, encoding: Encoding, width: int) -> Tensor:
    """Every head's map of one text padded to `width` tokens: (head, query, key), layer by layer."""
    inputs = collate([encoding], model).inputs
    missing = width - len(encoding)
    pad = model.tokenizer.pad_token_id or 0
    padded = {
        name: F.pad(value, (0, missing), value=pad if name == "input_ids" else 0)
        for name, value in inputs.items()
    }
    maps: list[Tensor] = []

    def observe(event: Event) -> None:
        refuse_other_positions(event, width)
        if event.rows.start == 0:
            shape = event.site.heads, width, width
            maps.append(torch.zeros(shape, device=event.attention.device))
        maps[-1][:, event.rows, event.keys] = event.attention[0].float()

    hook = Hook(observe=observe, block=block_size(model.device))
    with torch.no_grad(), hooked(model.reader, hook):
        model.reader(**padded)
    return torch.cat(maps)


def padded_cosines(first: Tensor, second: Tensor) -> Tensor:
    """Cosine of the flattened maps of heads of the same number: (head,)."""
    a, b = first.flatten(1).double(), second.flatten(1).double()
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
