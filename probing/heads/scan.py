"""One pass over a corpus that feeds every analysis of heads."""

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from ...capture import Shards, Site, Task, hooked, run_pass
from ...corpora import Corpus, Sentence
from ...corpora.text import units_of
from ...errors import CaptureError
from ...models import LoadedModel
from .collecting import scan_batch
from .gradients import loss_of
from .options import DEFAULT, ScanOptions
from .rows import STATISTICS


@dataclass(frozen=True)
class HeadScan:
    """What the pass kept of each sentence, on disk; nothing of size (query, key)."""

    sentences: list[Sentence]
    units: np.ndarray
    """(sentence,), the unit that each sentence belongs to."""
    shards: Shards
    skipped: list[list[str]]
    options: ScanOptions = DEFAULT

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
        found = {i: rows.copy() for i, rows in self.shards.split("word_tokens", self.words)}
        return [found[i] for i in range(len(self.sentences))]

    def rows(self, name: str, counts: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """The number of each sentence, shard by shard, with its rows of a part.

        Args:
            counts: (sentence,), how many rows of this part each sentence has.

        Raises:
            CaptureError: the pass did not keep this part.
        """
        self.require(name)
        return self.shards.split(name, counts)

    def require(self, name: str) -> None:
        """Refuse an analysis of what the pass did not keep.

        Raises:
            CaptureError: naming the part to ask for.
        """
        part = {"received_specials": "received", "shuffled_links": "links"}.get(name, name)
        if part not in self.options.parts:
            raise CaptureError(
                f"The pass kept {', '.join(self.options.parts) or 'statistics alone'} and not "
                f"{part!r}; ask for it: scan_heads(…, options=ScanOptions(parts=({part!r}, …)))."
            )

    def predicted(self) -> Iterator[tuple[int, np.ndarray]]:
        """The number of each sentence, shard by shard, with (word, layer, head, direction)."""
        with_tree = [bool(sentence.heads) for sentence in self.sentences]
        return self.rows("predictions", self.words * np.array(with_tree))

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
    def words(self) -> np.ndarray:
        """(sentence,), how many words each has."""
        return np.array([len(sentence) for sentence in self.sentences])


def scan_heads(
    model: LoadedModel,
    corpus: Corpus,
    folder: str | Path | None = None,
    *,
    options: ScanOptions | None = None,
    workers: int | None = None,
) -> HeadScan:
    """Read a corpus once and keep what the analyses of heads need of every text.

    Args:
        options: what to keep besides statistics, and how it is computed (default: predictions).
        folder: where the shards of the pass are kept; a pass that was interrupted goes on there.
            By default a temporary folder, which is removed with the scan.
        workers: processes to share the pass out to (default: this process alone).

    Raises:
        CorpusError: no sentence fits the model.
        CaptureError: the model's attention cannot be captured, its layers differ in their heads,
            gradients are asked for of a model with two stacks, or a worker died.
        OutputError: the folder holds another pass, or cannot be written.
    """
    chosen = options or DEFAULT
    # A model that does not suit is refused before the corpus is encoded.
    if "gradients" in chosen.parts:
        loss_of(model)
    with hooked(model.reader) as sites:
        _refuse_uneven(model, sites)
    with ExitStack() as stack:
        place = _temporary(stack) if folder is None else Path(folder)
        task = Task("heads", partial(scan_batch, options=chosen), chosen.as_dict())
        done = run_pass(model, corpus, task, place, workers=workers)
        # From here on, a temporary folder lives as long as the shards in it are in use.
        weakref.finalize(done.shards, stack.pop_all().close)
    units = np.array(units_of(done.sentences, corpus.unit))
    return HeadScan(done.sentences, units, done.shards, done.skipped, chosen)


def _refuse_uneven(model: LoadedModel, sites: Sequence[Site]) -> None:
    """Refuse models whose layers differ in their heads: the tables are grids."""
    heads = {site.layer: site.heads for site in sites}
    whole = "pruned" not in model.variant or sorted(heads) == list(range(len(heads)))
    if len(set(heads.values())) > 1 or not whole:
        raise CaptureError(
            f"The layers of {model.name} have {list(heads.values())} heads (layers "
            f"{list(heads)}); tables of heads need equally many in every layer. Look at the model "
            "before pruning; capture, explain and ablate take this one."
        )


def _temporary(stack: ExitStack) -> Path:
    place = Path(tempfile.mkdtemp(prefix="bertology-"))
    stack.callback(shutil.rmtree, place, ignore_errors=True)
    return place
