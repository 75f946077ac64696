"""Running a model over texts that each come with something of their own."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from ..capture import Batch, stream
from ..corpora import Encoding
from ..errors import AttributionError

P = TypeVar("P")
T = TypeVar("T")


def stream_with(
    model: Any,
    encodings: Sequence[Encoding],
    partners: Sequence[P],
    run: Callable[[Batch, list[P]], Sequence[T]],
    *,
    description: str,
) -> list[T]:
    """`capture.stream`, where each batch comes with the partner of each of its encodings.

    Raises:
        AttributionError: the numbers of encodings and partners differ.
    """
    if len(encodings) != len(partners):
        raise AttributionError(
            f"{len(encodings)} encodings came with {len(partners)} goals; give one goal each, as "
            "`prepare` does."
        )
    # Copies, because one encoding may be listed twice with different partners.
    own = [replace(encoding) for encoding in encodings]
    partner_of = {id(encoding): partner for encoding, partner in zip(own, partners, strict=True)}

    def run_batch(batch: Batch) -> Sequence[T]:
        return run(batch, [partner_of[id(encoding)] for encoding in batch.encodings])

    return stream(model, own, run_batch, description=description)
