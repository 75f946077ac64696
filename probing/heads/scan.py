"""One pass over a corpus that feeds every analysis of heads."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ...capture import Batch, Event, Hook, hooked, stream
from ...corpora import Corpus, Encoding, encode_all
from ...corpora.text import units_of
from ...errors import CorpusError
from ...models import LoadedModel
from .relations import membership, predict_heads, word_maps
from .statistics import STATISTICS, TokenFeatures, reduce_attention


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
    """Per sentence (layer, head, direction, word), from `predict_heads`."""
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
    features = TokenFeatures.of(batch.encodings, batch.mask, torch.float32)
    belongs = membership(batch.encodings, batch.mask, torch.float32)
    statistics: list[np.ndarray] = []
    baselines: list[np.ndarray] = []
    predictions: list[np.ndarray] = []

    def observe(event: Event) -> None:
        attention = event.attention.float()
        statistics.append(reduce_attention(attention, event.visible, features).cpu().numpy())
        even = event.visible / event.visible.sum(-1, keepdim=True).clamp(min=1)
        baselines.append(reduce_attention(even, event.visible, features)[:, 0].cpu().numpy())
        heads = predict_heads(word_maps(attention, belongs))
        predictions.append(heads.to(torch.int16).cpu().numpy())

    with torch.no_grad(), hooked(model.module, Hook(observe=observe)):
        model.module(**batch.inputs)
    rows = np.array(batch.lengths, dtype=np.float32)[:, None, None, None]
    # Axis 0 becomes the sentence.
    stacked = np.stack(statistics, axis=1) / rows
    even_stacked = np.stack(baselines, axis=1) / rows[..., 0]
    answers = np.stack(predictions, axis=1)
    return [
        _SentenceScan(stacked[i], even_stacked[i], answers[i, ..., : len(encoding.sentence)])
        for i, encoding in enumerate(batch.encodings)
    ]
