"""One pass over a corpus that feeds every analysis of heads."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ...capture import Batch, Event, Hook, hooked, refuse_infinite, stream
from ...corpora import Corpus, Encoding, encode_all
from ...corpora.text import units_of
from ...errors import CorpusError
from ...models import LoadedModel
from .rows import BLOCK, STATISTICS, RowSums, TokenFeatures
from .words import WordMaps


@dataclass(frozen=True)
class HeadScan:
    """Per sentence, what the pass kept; nothing of size (query, key)."""

    encodings: list[Encoding]
    units: np.ndarray
    """(sentence,), the unit that each sentence belongs to."""
    statistics: np.ndarray
    """(sentence, layer, head, statistic), in the order of `STATISTICS`."""
    baselines: np.ndarray
    """(sentence, layer, statistic), the same for attention spread evenly over visible keys."""
    predictions: list[np.ndarray]
    """Per sentence (layer, head, direction, word), from `predict_heads`; no words without trees."""
    skipped: list[list[str]]

    @property
    def present(self) -> tuple[str, ...]:
        """The statistics that this tokenizer has: without [CLS] there is no `cls`."""
        lacking = {
            name
            for name in ("cls", "sep")
            if not any(getattr(encoding, name).any() for encoding in self.encodings)
        }
        return tuple(name for name in STATISTICS if name not in lacking)


@dataclass(frozen=True)
class _SentenceScan:
    statistics: np.ndarray
    baselines: np.ndarray
    predictions: np.ndarray


def scan_heads(model: LoadedModel, corpus: Corpus) -> HeadScan:
    """Read a corpus once and keep the statistics and predictions of every head.

    Raises:
        CorpusError: no sentence fits the model.
        CaptureError: the model's attention cannot be captured.
    """
    with hooked(model.module):
        pass  # a model without attention is refused before the corpus is encoded
    encodings, skipped = encode_all(corpus.sentences, model.tokenizer, model.max_tokens)
    if not encodings:
        raise CorpusError(
            f"No sentence of {corpus.name} fits {model.name}: {skipped[0][1]}; give shorter ones."
        )
    found = stream(model, encodings, lambda batch: _scan_batch(model, batch), description="heads")
    units = units_of([encoding.sentence for encoding in encodings], corpus.unit)
    return HeadScan(
        encodings=encodings,
        units=np.array(units),
        statistics=np.stack([one.statistics for one in found]),
        baselines=np.stack([one.baselines for one in found]),
        predictions=[one.predictions for one in found],
        skipped=skipped,
    )


def _scan_batch(model: LoadedModel, batch: Batch) -> Sequence[_SentenceScan]:
    sums = RowSums(TokenFeatures.of(batch.encodings, batch.mask))
    maps = WordMaps(batch.encodings, batch.mask) if _has_trees(batch) else None

    def observe(event: Event) -> None:
        sums.observe(event)
        if maps is not None:
            maps.observe(event)

    with torch.no_grad(), hooked(model.module, Hook(observe=observe, block=BLOCK)) as sites:
        model.module(**batch.inputs)
    rows = np.array(batch.lengths, dtype=np.float64)[:, None, None, None]
    # Axis 0 becomes the sentence.
    values = np.stack([sums.values[site].cpu().numpy() for site in sites], axis=1) / rows
    even = np.stack([sums.baselines[site].cpu().numpy() for site in sites], axis=1) / rows[..., 0]
    refuse_infinite(values, sites, batch.encodings)
    answers = maps.predictions(sites) if maps is not None else None
    return [
        _SentenceScan(
            values[i],
            even[i],
            np.empty((*values.shape[1:3], 2, 0), np.int16)
            if answers is None
            else answers[i, ..., : len(encoding.sentence)],
        )
        for i, encoding in enumerate(batch.encodings)
    ]


def _has_trees(batch: Batch) -> bool:
    return any(encoding.sentence.heads for encoding in batch.encodings)
