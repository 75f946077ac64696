"""A pass over a corpus: planned once, shared out in shards, kept on disk."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..corpora import Corpus, Sentence, encode_all
from ..errors import CaptureError, CorpusError
from ..models import LoadedModel
from .batch import plan
from .identity import model_identity, sentences_sha256, versions
from .padding import ignores_padding
from .shards import PASS, Shards, is_finished, open_folder, read_pass
from .stream import batch_tokens, progress
from .tasks import Order, Task, do_shard, intra_op_threads
from .workers import share_out

#: Tokens that a shard gathers. A shard is what each process holds in memory, and at most loses
#: when it is killed.
SHARD_TOKENS = 4096
#: Sentences tokenized at a time to learn their lengths; the tokens are not kept.
_SURVEYED = 256


@dataclass(frozen=True)
class Pass:
    """A finished pass: the sentences that were read, and what is kept of them."""

    sentences: list[Sentence]
    shards: Shards
    skipped: list[list[str]]
    """[sentence id, reason] of every sentence that does not fit the model."""


def run_pass(
    model: LoadedModel, corpus: Corpus, task: Task, folder: Path, *, workers: int | None = None
) -> Pass:
    """Do a task on every sentence that fits the model; what the folder holds already is kept.

    The plan (batches of nearly one length, gathered into shards) depends on the lengths alone,
    and a shard on its batches alone: whoever computes it, and whenever, its bits are the same.

    Args:
        folder: a new folder, or one that holds shards of the same pass: those are checked, and
            only missing and damaged ones are done.
        workers: processes to share the shards out to, with one thread each. By default this
            process does them all, with as many threads as torch has.

    Raises:
        CorpusError: no sentence fits the model.
        CaptureError: a worker died, or cannot load this model.
        OutputError: the folder holds another pass, or cannot be written.
    """
    if workers is not None and (not isinstance(workers, int) or workers < 1):
        raise CaptureError(f"workers is {workers!r}; give a whole number from 1.")
    sentences, lengths, skipped = _survey(model, corpus)
    mix = ignores_padding(model.reader)
    shards = shards_of(plan(lengths, batch_tokens(model), mix_lengths=mix), lengths)
    identity = _identity(model, corpus, task, shards, _threads(folder, workers))
    open_folder(folder, identity)
    missing = [number for number in range(len(shards)) if not is_finished(folder, number)]
    _do(model, task, folder, sentences, shards, missing, workers, identity)
    members = tuple(np.array(list(chain(*shard))) for shard in shards)
    return Pass(sentences, Shards(folder, members), skipped)


def shards_of(batches: Sequence[list[int]], lengths: Sequence[int]) -> list[list[list[int]]]:
    """Group planned batches, in order, into shards of about `SHARD_TOKENS` tokens."""
    shards: list[list[list[int]]] = []
    held = SHARD_TOKENS
    for batch in batches:
        if held >= SHARD_TOKENS:
            shards.append([])
            held = 0
        shards[-1].append(batch)
        held += sum(lengths[i] for i in batch)
    return shards


def _survey(
    model: LoadedModel, corpus: Corpus
) -> tuple[list[Sentence], list[int], list[list[str]]]:
    """The sentences that fit the model, their lengths in tokens, and those that do not fit."""
    sentences: list[Sentence] = []
    lengths: list[int] = []
    skipped: list[list[str]] = []
    with progress(len(corpus), "tokenizing") as bar:
        for start in range(0, len(corpus), _SURVEYED):
            part = corpus.sentences[start : start + _SURVEYED]
            encodings, misfits = encode_all(part, model.tokenizer, model.max_tokens)
            sentences += [encoding.sentence for encoding in encodings]
            lengths += map(len, encodings)
            skipped += misfits
            bar.update(len(part))
    if not sentences:
        reason = f": {skipped[0][1]}" if skipped else ""
        raise CorpusError(
            f"No sentence of {corpus.name} fits {model.name}{reason}; give shorter ones."
        )
    return sentences, lengths, skipped


def _threads(folder: Path, workers: int | None) -> int:
    """How many threads each process of this pass computes with.

    Another number of threads may change the last bits of a matrix product, so it belongs to the
    pass: a resumed pass takes the number that it began with.
    """
    if (folder / PASS).is_file():
        return int(read_pass(folder).get("threads", 1))
    return torch.get_num_threads() if workers is None else 1


def _identity(
    model: LoadedModel,
    corpus: Corpus,
    task: Task,
    shards: list[list[list[int]]],
    threads: int,
) -> dict[str, Any]:
    return {
        "task": task.name,
        "options": task.options,
        "model": model_identity(model),
        "data": {"name": corpus.name, "sentences_sha256": sentences_sha256(corpus.sentences)},
        "device": model.device.type,
        "threads": threads,
        "plan_sha256": hashlib.sha256(json.dumps(shards).encode()).hexdigest(),
        "shards": len(shards),
        "versions": versions(),
    }


def _do(
    model: LoadedModel,
    task: Task,
    folder: Path,
    sentences: Sequence[Sentence],
    shards: Sequence[Sequence[Sequence[int]]],
    missing: Sequence[int],
    workers: int | None,
    identity: dict[str, Any],
) -> None:
    def orders() -> Iterator[Order]:
        for number in missing:
            batches = tuple(tuple(sentences[i] for i in batch) for batch in shards[number])
            yield Order(number, tuple(chain(*shards[number])), batches)

    left = sum(len(batch) for number in missing for batch in shards[number])
    with progress(len(sentences), task.name, done=len(sentences) - left) as bar:
        if workers is None or not missing:
            with intra_op_threads(identity["threads"]):
                for order in orders():
                    do_shard(model, task, folder, order, bar.update)
        else:
            count = min(workers, len(missing))
            share_out(model, task, folder, orders(), count, identity, bar.update)
