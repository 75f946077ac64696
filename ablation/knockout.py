"""What takes the place of a part that is off: its mean, or what it writes for another text."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..capture import Batch, collate, eval_mode, stream
from ..corpora import Encoding
from ..errors import CaptureError, CorpusError
from .parts import heads_of
from .switches import Switches, Written


def head_grid(module: Any) -> tuple[int, int]:
    """Number of attention layers and of heads in each of them.

    Raises:
        CaptureError: the layers differ in their number of heads, or there is no attention.
    """
    counts = heads_of(module)
    if len(set(counts)) > 1:
        raise CaptureError(
            f"The layers of {type(module).__name__} have {list(counts)} heads; a grid needs "
            "equally many in every layer. Use the model before pruning."
        )
    return len(counts), counts[0]


def mean_head_outputs(model: Any, encodings: Sequence[Encoding]) -> Tensor:
    """Mean output of every head over all tokens of the texts, specials included, padding not.

    Returns:
        (layer, head, width), float32, on the model's device, before the output projection.

    Raises:
        CorpusError: no text is given.
        CaptureError: the heads of the model do not form a grid, or cannot be captured.
    """
    head_grid(model.module)
    switches = Switches(model.module, ())
    with switches.attached():
        means = mean_written(model, encodings, switches)
    return torch.stack([means.heads[layer] for layer in sorted(means.heads)])


def mean_written(model: Any, encodings: Sequence[Encoding], switches: Switches) -> Written:
    """What each part writes on average over all tokens of the texts; the switches are attached.

    Raises:
        CorpusError: no text is given.
    """
    if not encodings:
        raise CorpusError("A mean head output needs at least one text; none was given.")
    sums: dict[tuple[str, int], Tensor] = {}

    def run(batch: Batch) -> list[None]:
        # Added only once the whole batch is through: a batch that runs out of memory is repeated.
        for kind, layer, tensor in written_for(model, batch, switches).each():
            real = batch.mask.reshape(*batch.mask.shape, *[1] * (tensor.dim() - 2))
            found = (tensor.double() * real).sum((0, 1))
            sums[kind, layer] = sums[kind, layer] + found if (kind, layer) in sums else found
        return [None] * len(batch)

    stream(model, encodings, run, description="mean head outputs")
    tokens = sum(len(encoding) for encoding in encodings)
    means = Written()
    for (kind, layer), total in sums.items():
        getattr(means, kind)[layer] = (total / tokens).float()
    return means


def written_for(model: Any, batch: Batch, switches: Switches) -> Written:
    """What each part writes in an intact pass."""
    switches.turn_off((), model.device)
    switches.seen = seen = Written()
    try:
        with torch.no_grad(), eval_mode(model.module):
            model.module(**batch.inputs)
    finally:
        switches.seen = None
    return seen


def written_for_sources(
    model: Any, batch: Batch, sources: Sequence[Encoding], switches: Switches
) -> Written:
    """What each part writes for other texts, at the positions of the texts of a batch.

    Args:
        sources: one for each text. Where one is shorter, its rows are repeated from the start.
    """
    other = collate(sources, model)
    length = batch.mask.shape[1]
    lengths = torch.tensor(other.lengths, device=model.device)[:, None]
    rows = torch.arange(length, device=model.device)[None] % lengths
    texts = torch.arange(len(batch), device=model.device)[:, None]
    moved = Written()
    for kind, layer, tensor in written_for(model, other, switches).each():
        getattr(moved, kind)[layer] = tensor[texts, rows]
    return moved


def draw_sources(
    lengths: np.ndarray, theirs: np.ndarray, draws: int, generator: np.random.Generator
) -> np.ndarray:
    """For each text `draws` others that are at least as long: (text, draw), indices.

    Others are drawn without replacement where there are enough. Where none is as long, it is
    the longest.

    Args:
        lengths: (text,), tokens.
        theirs: (other,), tokens.
    """
    order = np.argsort(theirs, kind="stable")
    first = np.searchsorted(theirs[order], lengths)
    chosen = np.empty((len(lengths), draws), dtype=int)
    for text, start in enumerate(first):
        fitting = order[min(start, len(order) - 1) :]
        chosen[text] = generator.choice(fitting, draws, replace=len(fitting) < draws)
    return chosen
