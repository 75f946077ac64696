"""What the tests of several analyses of heads share."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from bertology.capture.shards import Member, Shards, write_shard
from bertology.corpora import Sentence
from bertology.probing.heads import HeadScan
from bertology.probing.heads.answers import READERS
from bertology.probing.heads.options import ScanOptions


@pytest.fixture
def scan_of_maps(tmp_path: Path) -> Callable[..., HeadScan]:
    """A scan as a pass would leave it, of word maps (layer, head, word, word) made by hand."""

    def build(
        sentences: Sequence[Sentence],
        maps: Sequence[np.ndarray],
        options: ScanOptions,
        *,
        word_tokens: Sequence[np.ndarray] | None = None,
    ) -> HeadScan:
        records = []
        for number, (sentence, own) in enumerate(zip(sentences, maps, strict=True)):
            tokens = np.ones(len(sentence)) if word_tokens is None else word_tokens[number]
            record = {"word_tokens": torch.tensor(tokens, dtype=torch.int16)}
            for part in options.parts:
                record |= READERS[part](own.astype(np.float32), sentence, options)
            records.append(record)
        folder = tmp_path / f"scan {len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        members = [Member(i, one.id, len(one)) for i, one in enumerate(sentences)]
        # Two shards, neither in the order of the corpus.
        parts = (np.arange(len(sentences))[::2][::-1], np.arange(len(sentences))[1::2])
        parts = tuple(part for part in parts if len(part))
        for number, part in enumerate(parts):
            write_shard(folder, number, [members[i] for i in part], [records[i] for i in part])
        units = np.arange(len(sentences))
        return HeadScan(list(sentences), units, Shards(folder, parts), [], options)

    return build
