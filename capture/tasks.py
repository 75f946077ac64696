"""What a pass does with each batch, and how one process does a shard of it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..corpora import Encoding, Sentence, encode_all
from ..models import LoadedModel
from .batch import Batch
from .shards import Member, Record, write_shard
from .stream import run_batches


@dataclass(frozen=True)
class Task:
    """What a pass computes.

    `run` gives one record per text of a batch. It is a function of a module (or a `partial` of
    one), because other processes import it. `options` is everything that the records depend on
    besides the model and the text.
    """

    name: str
    run: Callable[[LoadedModel, Batch], Sequence[Record]]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Order:
    """One shard to do: its sentences, in the batches of the plan."""

    number: int
    places: tuple[int, ...]
    """Of its sentences among all, in the order of the batches."""
    batches: tuple[tuple[Sentence, ...], ...]

    def members(self) -> list[Member]:
        sentences = [sentence for batch in self.batches for sentence in batch]
        return [
            Member(place, sentence.id, len(sentence))
            for place, sentence in zip(self.places, sentences, strict=True)
        ]


def do_shard(
    model: LoadedModel, task: Task, folder: Path, order: Order, advance: Callable[[int], None]
) -> None:
    """Compute and write one shard; `advance` is told how many texts each batch had.

    Raises:
        OutputError: the shard cannot be written.
    """
    records: list[Record] = []
    batches = [_encoded(batch, model) for batch in order.batches]
    for outcome in run_batches(model, batches, lambda batch: task.run(model, batch)):
        records += outcome
        advance(len(outcome))
    write_shard(folder, order.number, order.members(), records)


def _encoded(batch: Sequence[Sentence], model: LoadedModel) -> list[Encoding]:
    # The plan holds sentences that fit, so none is left out here.
    return encode_all(batch, model.tokenizer, model.max_tokens)[0]


@contextmanager
def intra_op_threads(count: int) -> Iterator[None]:
    """Let torch compute with so many threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
