"""Streaming: run something over every text of a corpus, in batches."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from tqdm.auto import tqdm

from ..corpora import Encoding
from ..models import LoadedModel
from .batch import Batch, collate, plan
from .padding import ignores_padding

T = TypeVar("T")

#: Padded tokens a batch may hold. On a CPU small batches of nearly one length waste little on
#: padding and stay in cache; an accelerator needs large ones to be busy.
CPU_TOKENS, ACCELERATOR_TOKENS = 512, 16_384


def batch_tokens(model: LoadedModel) -> int:
    """The token budget of a batch on the model's device."""
    return CPU_TOKENS if model.device.type == "cpu" else ACCELERATOR_TOKENS


def progress(total: int, description: str, *, done: int = 0) -> Any:
    """A progress bar that counts texts, of which some may be done already."""
    return tqdm(
        total=total, initial=done, desc=description, unit="text", dynamic_ncols=True,
        disable=not total,
    )  # fmt: skip


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
    lengths = [len(encoding) for encoding in encodings]
    mix = ignores_padding(model.reader)
    batches = plan(lengths, token_budget or batch_tokens(model), mix_lengths=mix)
    order = iter([index for batch in batches for index in batch])
    with progress(len(encodings), description) as bar:
        for outcome in run_batches(model, ([encodings[i] for i in b] for b in batches), run):
            for result in outcome:
                results[next(order)] = result
            bar.update(len(outcome))
    return results


def run_batches(
    model: LoadedModel,
    batches: Iterable[Sequence[Encoding]],
    run: Callable[[Batch], Sequence[T]],
) -> Iterator[Sequence[T]]:
    """Apply `run` to planned batches in order; yields the results of each.

    A batch that runs out of memory is halved until it fits: more is then yielded, in the same
    order. A single text that does not fit raises.
    """
    for planned in batches:
        waiting = [planned]
        while waiting:
            encodings = waiting.pop()
            try:
                outcome = run(collate(encodings, model))
            except (RuntimeError, MemoryError) as error:
                if len(encodings) == 1 or not is_out_of_memory(error):
                    raise
                middle = len(encodings) // 2
                waiting += [encodings[middle:], encodings[:middle]]
                continue
            if len(outcome) != len(encodings):
                raise ValueError(f"{len(outcome)} results for a batch of {len(encodings)} texts")
            yield outcome


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out, so that a smaller batch may pass."""
    # On a CPU torch raises a plain RuntimeError.
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        "DefaultCPUAllocator" in str(error)
    )
