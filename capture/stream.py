"""Streaming: run something over every text of a corpus, in batches."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from tqdm.auto import tqdm

from ..corpora import Encoding
from ..models import LoadedModel
from .batch import Batch, collate, plan

T = TypeVar("T")

#: Padded tokens a batch may hold. On a CPU small batches of nearly one length waste little on
#: padding and stay in cache; an accelerator needs large ones to be busy.
CPU_TOKENS, ACCELERATOR_TOKENS = 512, 16_384


def batch_tokens(model: LoadedModel) -> int:
    """The token budget of a batch on the model's device."""
    return CPU_TOKENS if model.device.type == "cpu" else ACCELERATOR_TOKENS


def stream(
    model: LoadedModel,
    encodings: Sequence[Encoding],
    run: Callable[[Batch], Sequence[T]],
    *,
    description: str,
    token_budget: int | None = None,
) -> list[T]:
    """Apply `run` to batches of encodings; it returns one result per text of the batch.

    Shows a progress bar that counts texts. A batch that runs out of memory is halved until it
    fits; a single text that does not fit raises.

    Args:
        token_budget: padded tokens of a batch (default: `batch_tokens`).

    Returns:
        One result per encoding, in the order given.
    """
    results: list[Any] = [None] * len(encodings)
    budget = token_budget or batch_tokens(model)
    waiting = plan([len(encoding) for encoding in encodings], budget)[::-1]
    with tqdm(
        total=len(encodings), desc=description, unit="text", dynamic_ncols=True,
        disable=not encodings,
    ) as bar:  # fmt: skip
        while waiting:
            indices = waiting.pop()
            try:
                outcome = run(collate([encodings[i] for i in indices], model))
            except (torch.OutOfMemoryError, MemoryError):
                if len(indices) == 1:
                    raise
                middle = len(indices) // 2
                waiting += [indices[middle:], indices[:middle]]
                continue
            for index, result in zip(indices, outcome, strict=True):
                results[index] = result
            bar.update(len(indices))
    return results
