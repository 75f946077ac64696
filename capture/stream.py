"""Streaming: run something over every text of a corpus, in batches."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from tqdm.auto import tqdm

from ..corpora import Encoding
from .batch import Batch, collate, plan

T = TypeVar("T")

#: Padded tokens a batch may hold: large enough to keep the cores busy, small enough to stay
#: in cache (on two cores more only costs memory).
TOKEN_BUDGET = 2048


def stream(
    model: Any,
    encodings: Sequence[Encoding],
    run: Callable[[Batch], Sequence[T]],
    *,
    description: str,
    token_budget: int = TOKEN_BUDGET,
) -> list[T]:
    """Apply `run` to batches of encodings; it returns one result per text of the batch.

    Shows a progress bar that counts texts. A batch that runs out of memory is halved until it
    fits; a single text that does not fit raises.

    Returns:
        One result per encoding, in the order given.
    """
    results: list[Any] = [None] * len(encodings)
    waiting = plan([len(encoding) for encoding in encodings], token_budget)[::-1]
    with tqdm(total=len(encodings), desc=description, unit="text", dynamic_ncols=True) as bar:
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
