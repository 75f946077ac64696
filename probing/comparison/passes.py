"""The pass of two models over the same texts, which keeps of each text what is of bounded size."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...capture import Batch, Shards, Task, collate, find_sites, run_pass
from ...capture.identity import model_identity
from ...capture.padding import ignores_padding
from ...capture.shards import Record
from ...corpora import Encoding, Sentence, encode_all
from ...models import LoadedModel
from .maps import Read, Rows, all_divergences, cosines, divergences, read_rows
from .padded import padded_cosines, padded_maps
from .reading import Aligned, Reading


@dataclass(frozen=True)
class Pair:
    """Two models to compare, and how."""

    first: LoadedModel
    second: LoadedModel
    reading: Reading
    chosen: list[np.ndarray]
    """Per text, which of its tokens or words have their hidden states kept."""
    seed: int
    padded_to: int | None = None

    @cached_property
    def heads(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """(layer, head) of every head of both models."""
        return heads_of(self.first), heads_of(self.second)

    @property
    def measures(self) -> tuple[str, ...]:
        """Between heads of the same number, if there are such."""
        return ("cosine", "jsd") if self.padded_to is None else ("cosine", "jsd", "cosine_padded")

    @property
    def same_layout(self) -> bool:
        """Whether heads of the same number can be set against each other."""
        return self.heads[0] == self.heads[1]


def heads_of(model: LoadedModel) -> list[tuple[int, int]]:
    """(layer, head) of every head, layer by layer."""
    return [(site.layer, head) for site in find_sites(model.reader) for head in range(site.heads)]


@contextmanager
def compared(pair: Pair) -> Iterator[Shards]:
    """Read the texts with both models; the shards exist inside the block.

    Of each text they hold `all_jsd` (1, head of first, head of second), and `first_states` and
    `second_states` (token, hidden_state, hidden). Where both models have the same heads, also
    `cosine` and `jsd` (1, head), and `null_cosine` and `null_jsd`, of the first model's maps of
    the text and the second's of its partner; NaN where it has none. With `padded_to`, also
    `cosine_padded` and `null_cosine_padded`.
    """
    options = {
        "second": model_identity(pair.second),
        "maps": pair.reading.maps,
        "seed": pair.seed,
        "padded_to": pair.padded_to,
    }
    task = Task("two models", partial(_read_batch, pair=pair), options)
    with tempfile.TemporaryDirectory(prefix="bertology-") as folder:
        yield run_pass(pair.first, pair.reading.corpus, task, Path(folder)).shards


def _read_batch(first: LoadedModel, batch: Batch, *, pair: Pair) -> list[Record]:
    """What `compared` keeps of each text of a batch."""
    texts = _aligned(batch.encodings, pair)
    if len(texts) > 1 and not ignores_padding(pair.second.reader):
        # The plan of the pass knows what the first model can read side by side, no other.
        parts = [collate([encoding], first) for encoding in batch.encodings]
        return [record for part in parts for record in _read_batch(first, part, pair=pair)]
    maps = pair.reading.maps
    rows = Rows.of([text.rows for text in texts], pair.seed)
    own = read_rows(first, [text.first for text in texts], rows, maps)
    other = read_rows(pair.second, [text.second for text in texts], rows, maps)
    others = other.maps.to(own.maps.device)
    values = {"all_jsd": all_divergences(own.maps, others, rows)}
    if pair.same_layout:
        values["cosine"] = cosines(own.maps, others, rows)
        values["jsd"] = divergences(own.maps, others, rows)
        values |= _null(own, texts, pair)
    if pair.same_layout and pair.padded_to is not None:
        values |= _padded(texts, pair, pair.padded_to)
    kept = {name: value.float().cpu() for name, value in values.items()}
    return [
        {
            **{name: value[i : i + 1] for name, value in kept.items()},
            "first_states": _chosen_states(own.states, text.first, text, i, pair),
            "second_states": _chosen_states(other.states, text.second, text, i, pair),
        }
        for i, text in enumerate(texts)
    ]


def _null(own: Read, texts: Sequence[Aligned], pair: Pair) -> dict[str, Tensor]:
    """The same measures between the first model's maps of a text and the second's of another."""
    shape = len(texts), len(pair.heads[0])
    nothing = torch.full(shape, torch.nan)
    found = {"null_cosine": nothing, "null_jsd": nothing.clone()}
    partners = _partners(texts, pair)
    if not partners:
        return found
    there = list(partners)
    # The rows of the texts that have a partner, whose rows are the same ones.
    whole = Rows.of([text.rows for text in texts], pair.seed)
    rows = Rows.of([texts[i].rows for i in there], pair.seed)
    other = read_rows(pair.second, list(partners.values()), rows, pair.reading.maps).maps
    mine = own.maps[:, torch.isin(whole.text, torch.tensor(there)).to(own.maps.device)]
    # The widest text may have no partner; beyond the others' width there is only padding.
    other = other.to(mine.device)
    mine = mine[..., : other.shape[-1]]
    found["null_cosine"][there] = cosines(mine, other, rows).float().cpu()
    found["null_jsd"][there] = divergences(mine, other, rows).float().cpu()
    return found


def _padded(texts: Sequence[Aligned], pair: Pair, width: int) -> dict[str, Tensor]:
    partners = _partners(texts, pair)
    values, null = [], []
    # One text at a time: these maps hold every row.
    for i, text in enumerate(texts):
        own = padded_maps(pair.first, text.first, width)
        other = padded_maps(pair.second, text.second, width).to(own.device)
        values.append(padded_cosines(own, other))
        if i in partners:
            other = padded_maps(pair.second, partners[i], width).to(own.device)
            null.append(padded_cosines(own, other))
        else:
            null.append(torch.full_like(values[-1], torch.nan))
    return {"cosine_padded": torch.stack(values), "null_cosine_padded": torch.stack(null)}


def _aligned(encodings: Sequence[Encoding], pair: Pair) -> list[Aligned]:
    seconds = _encode([encoding.sentence for encoding in encodings], pair.second)
    return [
        Aligned(one, other, pair.reading.maps)
        for one, other in zip(encodings, seconds, strict=True)
    ]


def _partners(texts: Sequence[Aligned], pair: Pair) -> dict[int, Encoding]:
    """The partner of each text that has one, as the second model reads it."""
    found = [pair.reading.partner(text.first.sentence) for text in texts]
    there = [i for i, partner in enumerate(found) if partner is not None]
    encodings = _encode([partner for partner in found if partner is not None], pair.second)
    return dict(zip(there, encodings, strict=True))


def _encode(sentences: Sequence[Sentence], model: LoadedModel) -> list[Encoding]:
    # All of them fit, as the texts were surveyed.
    return encode_all(sentences, model.tokenizer, model.max_tokens)[0]


def _chosen_states(
    states: Sequence[Tensor], encoding: Encoding, text: Aligned, row: int, pair: Pair
) -> Tensor:
    """Hidden states of the drawn tokens or words of a text: (token, hidden_state, hidden)."""
    places = text.states[pair.chosen[pair.reading.place[id(text.first.sentence)]]]
    if pair.reading.maps == "token":
        tokens = [np.array([place]) for place in places]
    else:
        tokens = [np.flatnonzero(encoding.words == place) for place in places]
    own = torch.stack([state[row, : len(encoding)].float() for state in states], dim=1).cpu()
    return torch.stack([own[one].mean(0) for one in tokens]) if tokens else own[:0]
