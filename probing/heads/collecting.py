"""What a pass keeps of each text of a batch."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import repeat
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...capture import Batch, Event, Hook, Site, hooked, refuse_infinite
from ...capture.shards import Record
from ...corpora import Encoding
from ...models import LoadedModel
from .answers import READERS
from .divergence import Divergences
from .gradients import gradient_records
from .options import DEFAULT, ScanOptions
from .queries import query_means, row_counts
from .received import Received
from .rows import OTHER, STATISTICS, RowSums, TokenFeatures, block_size
from .segments import OwnSegment
from .words import WordMaps


def scan_batch(
    model: LoadedModel, batch: Batch, options: ScanOptions = DEFAULT
) -> Sequence[Record]:
    """What `scan_heads` keeps of each text of a batch."""
    batch = _read(batch, options)
    collectors = _collectors(batch, options)

    def observe(event: Event) -> None:
        for collector in collectors.values():
            collector.observe(event)

    hook = Hook(observe=observe, block=block_size(batch.mask.device))
    with torch.no_grad(), hooked(model.reader, hook) as sites:
        model.reader(**batch.inputs)
    records = _statistics(collectors["rows"], sites, batch)
    kept = [
        collectors[name].records(sites)
        for name in ("segments", "received", "divergence")
        if name in collectors
    ]
    kept.append(_words(collectors.get("words"), sites, batch, options))
    if "gradients" in options.parts:
        kept.append(gradient_records(model, batch, options))
    return [
        {**record, **{key: value for part in kept for key, value in part[i].items()}}
        for i, record in enumerate(records)
    ]


def _read(batch: Batch, options: ScanOptions) -> Batch:
    """The batch as the model reads it."""
    segments = batch.inputs.get("token_type_ids")
    if options.segment_ids == "tokenizer" or segments is None:
        return batch
    return replace(batch, inputs={**batch.inputs, "token_type_ids": torch.zeros_like(segments)})


def _collectors(batch: Batch, options: ScanOptions) -> dict[str, Any]:
    collectors: dict[str, Any] = {
        "rows": RowSums(TokenFeatures.of(batch.encodings, batch.mask)),
        "segments": OwnSegment(batch.encodings, batch.mask),
    }
    asked = {"predictions", *READERS} & set(options.parts)
    if asked and any(_has_annotation(encoding) for encoding in batch.encodings):
        collectors["words"] = WordMaps(batch.encodings, batch.mask, options.word_rows)
    if "received" in options.parts:
        collectors["received"] = Received(batch.encodings, batch.mask)
    if "divergence" in options.parts:
        collectors["divergence"] = Divergences(batch.encodings, batch.mask, options.seed)
    return collectors


def _has_annotation(encoding: Encoding) -> bool:
    sentence = encoding.sentence
    return bool(sentence.heads or sentence.mentions or sentence.frames)


def _statistics(rows: RowSums, sites: Sequence[Site], batch: Batch) -> list[dict[str, Tensor]]:
    # Axis 0 becomes the sentence.
    sums = torch.stack([rows.values[site] for site in sites], dim=1).cpu().numpy()
    even = torch.stack([rows.baselines[site] for site in sites], dim=1).cpu().numpy()
    refuse_infinite(sums, sites, batch.encodings)
    lengths = np.array(batch.lengths, dtype=np.float64)[:, None, None, None]
    counts, kept = row_counts(batch.encodings), len((*STATISTICS, OTHER))
    arrays = {
        "statistics": sums[..., :kept] / lengths,
        "baselines": even[..., :kept] / lengths[..., 0],
        "by_query": query_means(sums, counts),
        "by_query_baselines": query_means(even, counts),
    }
    tensors = {name: torch.from_numpy(array).float() for name, array in arrays.items()}
    return [
        {
            **{name: tensor[i : i + 1] for name, tensor in tensors.items()},
            "word_tokens": torch.from_numpy(encoding.word_tokens).to(torch.int16),
        }
        for i, encoding in enumerate(batch.encodings)
    ]


def _words(
    maps: WordMaps | None, sites: Sequence[Site], batch: Batch, options: ScanOptions
) -> list[dict[str, Tensor]]:
    """What is read off word maps; of texts without annotation, no rows."""
    sentences = [encoding.sentence for encoding in batch.encodings]
    records: list[dict[str, Tensor]] = [{} for _ in sentences]
    shape = len(sites), max(site.heads for site in sites)
    if "predictions" in options.parts:
        trees = maps is not None and any(sentence.heads for sentence in sentences)
        answers = maps.predictions(sites) if maps is not None and trees else None
        for i, sentence in enumerate(sentences):
            words = len(sentence) if sentence.heads else 0
            own = np.empty((*shape, 2, 0), np.int16) if answers is None else answers[i, ..., :words]
            records[i]["predictions"] = torch.from_numpy(np.moveaxis(own, -1, 0).copy())
    readers = [READERS[name] for name in options.parts if name in READERS]
    if readers:
        texts = repeat(np.zeros((*shape, 0, 0))) if maps is None else maps.of_texts(sites)
        for record, sentence, own in zip(records, sentences, texts, strict=False):
            for reader in readers:
                record.update(reader(own, sentence, options))
    return records
