"""What a head writes on average: the stand-in for its output under mean ablation."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..capture import Batch, Event, Hook, find_sites, hooked, stream
from ..corpora import Encoding
from ..errors import CaptureError, CorpusError


def head_grid(module: Any) -> tuple[int, int]:
    """Number of attention layers and of heads in each of them.

    Raises:
        CaptureError: the layers differ in their number of heads, or there is no attention.
    """
    counts = [site.heads for site in find_sites(module)]
    if len(set(counts)) > 1:
        raise CaptureError(
            f"The layers of {type(module).__name__} have {counts} heads; heads are ablated in "
            "models with equally many heads in every layer. Use the model before pruning."
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
    if not encodings:
        raise CorpusError("A mean head output needs at least one text; none was given.")
    head_grid(model.module)
    sums: list[Tensor] = []

    def run(batch: Batch) -> list[None]:
        # Added only once the whole batch is through: a batch that runs out of memory is repeated.
        found = summed_head_outputs(model, batch)
        sums[:] = [found if not sums else sums[0] + found]
        return [None] * len(batch)

    stream(model, encodings, run, description="mean head outputs")
    tokens = sum(len(encoding) for encoding in encodings)
    return (sums[0] / tokens).float()


def summed_head_outputs(model: Any, batch: Batch) -> Tensor:
    """Sum of every head's output over the real tokens of a batch: (layer, head, width), float64."""
    real = batch.mask[:, :, None, None]
    layers: dict[int, Tensor] = {}

    def observe(event: Event) -> None:
        layers[event.site.layer] = (event.head_output.double() * real).sum((0, 1))

    with torch.no_grad(), hooked(model.module, Hook(observe=observe, attention=False)):
        model.module(**batch.inputs)
    return torch.stack([layers[k] for k in sorted(layers)])
