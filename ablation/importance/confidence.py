"""How sure of one token a head is (Voita et al. 2019, arXiv 1905.09418, section 4)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...attribution.running import stream_with
from ...attribution.targets import Goal
from ...capture import Batch, Event, Hook, hooked
from ...capture.places import one_of_a_kind
from ...corpora import Encoding
from ..knockout import head_grid
from .gradients import refuse_nothing


def confidence(
    model: Any, encodings: Sequence[Encoding], goals: Sequence[Goal], *, seed: int
) -> np.ndarray:
    """The largest weight of a row, averaged over the rows: (example, layer, head), from 0 to 1.

    Separators that the tokenizer added ([SEP], </s>) are no candidates for the largest weight:
    attention to them mostly means that a head has nothing to do. Every token's row counts, the
    specials' too. Says nothing of the target.

    Raises:
        CaptureError: attention that cannot be reached.
    """
    refuse_nothing(encodings)
    head_grid(model.module)

    def run(batch: Batch, _: list[Goal]) -> list[np.ndarray]:
        allowed = batch.mask.bool().clone()
        for row, encoding in enumerate(batch.encodings):
            ends = torch.from_numpy(separators(encoding, model.tokenizer)).to(allowed.device)
            allowed[row, batch.mask[row].bool()] = ~ends
        real = batch.mask.double()
        layers: dict[int, Tensor] = {}

        def observe(event: Event) -> None:
            largest = event.attention.where(allowed[:, None, None], 0.0).amax(-1).double()
            layers[event.site.layer] = (largest * real[:, None]).sum(-1) / real.sum(-1)[:, None]

        with torch.no_grad(), hooked(model.module, Hook(observe=observe, check=one_of_a_kind)):
            model.module(**batch.inputs)
        return list(torch.stack([layers[k] for k in sorted(layers)], 1).float().cpu().numpy())

    return np.stack(stream_with(model, encodings, goals, run, description="head confidence"))


def separators(encoding: Encoding, tokenizer: Any) -> np.ndarray:
    """(token,), True where the tokenizer added a separator or an end of sentence."""
    # One special may serve as beginning and end.
    behind = np.arange(len(encoding)) > np.argmin(encoding.added)
    return encoding.sep | (encoding.added & behind & (encoding.ids == tokenizer.eos_token_id))
