"""One pass over a corpus that feeds every analysis of heads."""

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from ...capture import Batch, Event, Hook, Shards, Task, hooked, refuse_infinite, run_pass
from ...capture.shards import Record
from ...corpora import Corpus, Sentence
from ...corpora.text import units_of
from ...models import LoadedModel
from .rows import BLOCK, STATISTICS, RowSums, TokenFeatures
from .words import WordMaps


@dataclass(frozen=True)
class HeadScan:
    """What the pass kept of each sentence, on disk; nothing of size (query, key)."""

    sentences: list[Sentence]
    units: np.ndarray
    """(sentence,), the unit that each sentence belongs to."""
    shards: Shards
    skipped: list[list[str]]

    @property
    def statistics(self) -> np.ndarray:
        """(sentence, layer, head, statistic), in the order of `STATISTICS`, then `OTHER`."""
        return self.shards.gather("statistics")

    @cached_property
    def baselines(self) -> np.ndarray:
        """(sentence, layer, statistic), for attention spread evenly over visible keys."""
        return self.shards.gather("baselines")

    @property
    def predictions(self) -> list[np.ndarray]:
        """Per sentence (layer, head, direction, word), from `predict_heads`.

        No words where the sentence has no tree.
        """
        found = {i: np.moveaxis(rows, 0, -1) for i, rows in self.predicted()}
        return [found[i] for i in range(len(self.sentences))]

    @property
    def word_tokens(self) -> list[np.ndarray]:
        """Per sentence (word,), how many tokens each word has."""
        # Copies: a view would keep the whole shard in memory.
        found = {i: rows.copy() for i, rows in self.shards.split("word_tokens", self._words)}
        return [found[i] for i in range(len(self.sentences))]

    def predicted(self) -> Iterator[tuple[int, np.ndarray]]:
        """The number of each sentence, shard by shard, with (word, layer, head, direction)."""
        with_tree = [bool(sentence.heads) for sentence in self.sentences]
        return self.shards.split("predictions", self._words * np.array(with_tree))

    def unit_sums(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Layer by layer, the sums over the sentences of each unit.

        Yields statistics (unit, head, statistic) and baselines (unit, statistic).
        """
        units = int(self.units.max()) + 1
        for layer in range(self.baselines.shape[1]):
            even = np.zeros((units, self.baselines.shape[2]))
            np.add.at(even, self.units, self.baselines[:, layer])
            values: np.ndarray | None = None
            for members, tensor in self.shards.tensors("statistics"):
                rows = tensor[:, layer].numpy()
                if values is None:
                    values = np.zeros((units, *rows.shape[1:]))
                np.add.at(values, self.units[members], rows)
            if values is not None:
                yield values, even

    @property
    def present(self) -> tuple[str, ...]:
        """The statistics that this tokenizer has: without [CLS] there is no `cls`."""
        # Evenly spread attention falls on every token that there is.
        seen = (self.baselines != 0).sum(axis=(0, 1))
        return tuple(
            name
            for column, name in enumerate(STATISTICS)
            if name not in ("cls", "sep") or seen[column]
        )

    @property
    def _words(self) -> np.ndarray:
        return np.array([len(sentence) for sentence in self.sentences])


def scan_heads(
    model: LoadedModel,
    corpus: Corpus,
    folder: str | Path | None = None,
    *,
    workers: int | None = None,
) -> HeadScan:
    """Read a corpus once and keep the statistics and predictions of every head.

    Args:
        folder: where the shards of the pass are kept; a pass that was interrupted goes on there.
            By default a temporary folder, which is removed with the scan.
        workers: processes to share the pass out to (default: this process alone).

    Raises:
        CorpusError: no sentence fits the model.
        CaptureError: the model's attention cannot be captured, or a worker died.
        OutputError: the folder holds another pass, or cannot be written.
    """
    with hooked(model.reader):
        pass  # a model without attention is refused before the corpus is encoded
    with ExitStack() as stack:
        place = _temporary(stack) if folder is None else Path(folder)
        done = run_pass(model, corpus, Task("heads", scan_batch), place, workers=workers)
        # From here on, a temporary folder lives as long as the shards in it are in use.
        weakref.finalize(done.shards, stack.pop_all().close)
    units = np.array(units_of(done.sentences, corpus.unit))
    return HeadScan(done.sentences, units, done.shards, done.skipped)


def _temporary(stack: ExitStack) -> Path:
    place = Path(tempfile.mkdtemp(prefix="bertology-"))
    stack.callback(shutil.rmtree, place, ignore_errors=True)
    return place


def scan_batch(model: LoadedModel, batch: Batch) -> Sequence[Record]:
    """What `scan_heads` keeps of each sentence of a batch."""
    sums = RowSums(TokenFeatures.of(batch.encodings, batch.mask))
    maps = WordMaps(batch.encodings, batch.mask) if _has_trees(batch) else None

    def observe(event: Event) -> None:
        sums.observe(event)
        if maps is not None:
            maps.observe(event)

    with torch.no_grad(), hooked(model.reader, Hook(observe=observe, block=BLOCK)) as sites:
        model.reader(**batch.inputs)
    rows = np.array(batch.lengths, dtype=np.float64)[:, None, None, None]
    # Axis 0 becomes the sentence.
    values = np.stack([sums.values[site].cpu().numpy() for site in sites], axis=1) / rows
    even = np.stack([sums.baselines[site].cpu().numpy() for site in sites], axis=1) / rows[..., 0]
    refuse_infinite(values, sites, batch.encodings)
    nothing = np.empty((len(batch), *values.shape[1:3], 2, 0), np.int16)
    answers = nothing if maps is None else maps.predictions(sites)
    return [
        {
            "statistics": torch.from_numpy(values[i : i + 1]).float(),
            "baselines": torch.from_numpy(even[i : i + 1]).float(),
            "predictions": _by_word(answers[i], encoding.sentence),
            "word_tokens": torch.from_numpy(encoding.word_tokens).to(torch.int16),
        }
        for i, encoding in enumerate(batch.encodings)
    ]


def _by_word(answers: np.ndarray, sentence: Sentence) -> torch.Tensor:
    """Predictions (layer, head, direction, word) with the word first; none without a tree."""
    words = len(sentence) if sentence.heads else 0
    return torch.from_numpy(np.moveaxis(answers[..., :words], -1, 0).copy())


def _has_trees(batch: Batch) -> bool:
    return any(encoding.sentence.heads for encoding in batch.encodings)
