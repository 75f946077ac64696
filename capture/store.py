"""The activation store: hidden states and head outputs of every word of a corpus, on disk.

A store is a folder of shards in which every layer is a tensor of its own, so that one layer is
read without the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..corpora import Corpus, Encoding
from ..errors import CaptureError, OutputError
from ..models import LoadedModel
from .batch import Batch
from .blocks import stack_blocks
from .hidden import hidden_states
from .hooked import hooked
from .identity import model_identity, sentences_sha256
from .passes import run_pass
from .session import Event, Hook
from .shards import Member, Record, Shards, members_of, read_pass, refuse_other_pass
from .tasks import Task

TASK = "activations"
WHAT = ("hidden_states", "head_output")
DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}


@dataclass(frozen=True, repr=False)
class ActivationStore:
    """Activations of words, read from disk one layer at a time; rows are words, in text order.

    A value is the mean over the tokens of the word, rounded to the type of the store; the rows
    of words that have no token (`word_tokens` is 0) are NaN.
    """

    folder: Path
    shards: Shards
    members: tuple[Member, ...]
    """The sentences, in the order of the corpus."""
    description: dict[str, Any]
    """What the store was made of: model, data, options, versions."""

    @property
    def sentences(self) -> tuple[str, ...]:
        """The ids of the sentences."""
        return tuple(member.id for member in self.members)

    @property
    def layers(self) -> dict[str, tuple[int, ...]]:
        """The layers that are kept, by quantity."""
        return {name: tuple(kept) for name, kept in self.description["options"]["layers"].items()}

    @cached_property
    def offsets(self) -> np.ndarray:
        """(sentence + 1,): the words of sentence i are the rows offsets[i] to offsets[i + 1]."""
        return np.concatenate([[0], self._counts.cumsum()])

    @cached_property
    def word_tokens(self) -> np.ndarray:
        """(word,), how many tokens each word has."""
        return self._gathered("word_tokens")

    def rows(self, sentence: str) -> slice:
        """The rows of a sentence, named by its id.

        Raises:
            CaptureError: there is no such sentence, or several.
        """
        found = [i for i, member in enumerate(self.members) if member.id == sentence]
        if len(found) != 1:
            raise CaptureError(
                f"The store {self.folder} has {len(found)} sentences called {sentence!r}; its ids "
                "are in `sentences`, and the rows of the i-th are offsets[i] to offsets[i + 1]."
            )
        return slice(int(self.offsets[found[0]]), int(self.offsets[found[0] + 1]))

    def hidden_states(self, layer: int) -> np.ndarray:
        """(word, hidden), float32; 0 is the embeddings, k+1 the output of block k.

        Raises:
            CaptureError: this layer is not kept.
            OutputError: a shard is damaged.
        """
        return self._layer("hidden_states", layer)

    def head_output(self, layer: int) -> np.ndarray:
        """(word, head, width), float32, before the output projection of attention layer `layer`.

        Raises:
            CaptureError: this layer is not kept.
            OutputError: a shard is damaged.
        """
        return self._layer("head_output", layer)

    def _layer(self, what: str, layer: int) -> np.ndarray:
        if layer not in self.layers.get(what, ()):
            raise CaptureError(
                f"The store {self.folder} has no {what} of layer {layer}; it has {self.layers}."
            )
        return self._gathered(f"{what}.{layer}")

    def _gathered(self, name: str) -> np.ndarray:
        gathered: np.ndarray | None = None
        for sentence, rows in self.shards.split(name, self._counts):
            if gathered is None:
                gathered = np.empty((self.offsets[-1], *rows.shape[1:]), rows.dtype)
            gathered[self.offsets[sentence] : self.offsets[sentence + 1]] = rows
        if gathered is None:
            raise OutputError(f"The store {self.folder} is empty; write it again.")
        return gathered

    @property
    def _counts(self) -> np.ndarray:
        return np.array([member.words for member in self.members])

    def __repr__(self) -> str:
        model = self.description["model"]["name"]
        words = f"{self.offsets[-1]} words"
        return f"ActivationStore({str(self.folder)!r}, {model}, {words}, {self.layers})"


def write_store(
    folder: str | Path,
    model: LoadedModel,
    corpus: Corpus,
    *,
    what: Sequence[str] = ("hidden_states",),
    layers: Sequence[int] | None = None,
    dtype: str = "float16",
    workers: int | None = None,
) -> ActivationStore:
    """Write the activations of every word of a corpus; a store that was begun goes on.

    Sentences that do not fit the model are left out.

    Args:
        what: `hidden_states`, `head_output`, or both.
        layers: of hidden states 0 is the embeddings and k+1 the output of block k; of head
            outputs k is attention layer k (default: all).
        dtype: `float16`, `bfloat16` or `float32`.
        workers: processes to share the corpus out to (default: this process alone).

    Raises:
        CaptureError: an unknown quantity, layer or dtype, a value beyond the range of the dtype,
            or a model whose activations are not one per token.
        CorpusError: no sentence fits the model.
        OutputError: the folder holds another store, or cannot be written.
    """
    kept = _layers(model, what, layers)
    if dtype not in DTYPES:
        raise CaptureError(f"The dtype {dtype!r} is unknown; choose one of {', '.join(DTYPES)}.")
    # As lists, which is what they come back as from the description in the folder.
    options = {"layers": {name: list(numbers) for name, numbers in kept.items()}, "dtype": dtype}
    run = partial(activations, layers=kept, dtype=DTYPES[dtype])
    run_pass(model, corpus, Task(TASK, run, options), Path(folder), workers=workers)
    return open_store(folder)


def open_store(
    folder: str | Path, model: LoadedModel | None = None, corpus: Corpus | None = None
) -> ActivationStore:
    """Open a store that `write_store` wrote. Nothing but its index is read.

    Args:
        model, corpus: what the store is expected to be made of.

    Raises:
        OutputError: the folder holds no store, an unfinished one, or one of another model or
            corpus.
    """
    place = Path(folder)
    description = read_pass(place)
    if description.get("task") != TASK:
        raise OutputError(
            f"{place} holds no activation store, but the shards of {description.get('task')!r}."
        )
    expected: dict[str, Any] = {}
    if model is not None:
        expected["model"] = model_identity(model)
    if corpus is not None:
        expected["data"] = {"sentences_sha256": sentences_sha256(corpus.sentences)}
    refuse_other_pass(place, description, expected)
    shards = [members_of(place, number) for number in range(description["shards"])]
    members = sorted((member for shard in shards for member in shard), key=lambda m: m.number)
    numbers = tuple(np.array([member.number for member in shard]) for shard in shards)
    return ActivationStore(place, Shards(place, numbers), tuple(members), description)


def activations(
    model: LoadedModel, batch: Batch, layers: dict[str, tuple[int, ...]], dtype: torch.dtype
) -> list[Record]:
    """What a store keeps of each sentence of a batch."""
    outputs: dict[int, Tensor] = {}
    hooks = []
    if chosen := layers.get("head_output"):

        def observe(event: Event) -> None:
            outputs[event.site.layer] = event.head_output

        hooks.append(Hook(observe=observe, attention=False, layers=frozenset(chosen)))
    with torch.no_grad(), hooked(model.module, *hooks), hidden_states(model.module) as states:
        model.module(**batch.inputs)
    found = {f"hidden_states.{k}": states[k] for k in layers.get("hidden_states", ())}
    found |= {f"head_output.{k}": outputs[k] for k in layers.get("head_output", ())}
    records: list[Record] = []
    for i, encoding in enumerate(batch.encodings):
        weights = _averaging(encoding).to(model.device)
        record = {
            name: _means(name, tensor[i, : len(encoding)], weights, encoding, dtype)
            for name, tensor in found.items()
        }
        word_tokens = torch.from_numpy(encoding.word_tokens).to(torch.int16)
        records.append({**record, "word_tokens": word_tokens})
    return records


def _averaging(encoding: Encoding) -> Tensor:
    """(word, token): how much of each word is each token; a word without tokens is all NaN."""
    owned = encoding.words[None] == np.arange(len(encoding.sentence))[:, None]
    with np.errstate(invalid="ignore"):
        return torch.from_numpy(owned / owned.sum(axis=1, keepdims=True)).float()


def _means(
    name: str, rows: Tensor, weights: Tensor, encoding: Encoding, dtype: torch.dtype
) -> Tensor:
    if len(rows) != weights.shape[1]:
        raise CaptureError(
            f"{name} has {len(rows)} rows for the {weights.shape[1]} tokens of "
            f"{encoding.sentence.id!r}: the model pools its text, so words have no state there; "
            "choose earlier layers."
        )
    exact = weights @ rows.float().flatten(1)
    has_tokens = torch.from_numpy(encoding.word_tokens > 0)
    if not exact[has_tokens].isfinite().all():
        raise CaptureError(
            f"{name} of {encoding.sentence.id!r} is NaN or infinite. The weights may be damaged, "
            "or the type the model computes in too narrow (float16): load it in float32 or "
            "bfloat16, or leave the sentence out."
        )
    means = exact.to(dtype)
    if not means[has_tokens].isfinite().all():
        raise CaptureError(
            f"{name} of {encoding.sentence.id!r} is not finite in {dtype}; choose "
            "dtype='bfloat16', or 'float32'."
        )
    return means.reshape(-1, *rows.shape[1:]).cpu()


def _layers(
    model: LoadedModel, what: Sequence[str], layers: Sequence[int] | None
) -> dict[str, tuple[int, ...]]:
    """The layers to keep of each quantity, checked against the model."""
    if not what or set(what) - set(WHAT):
        raise CaptureError(f"A store holds any of {', '.join(WHAT)}; got {tuple(what)}.")
    if getattr(model.config, "is_encoder_decoder", False):
        raise CaptureError(
            f"{model.name} has an encoder and a decoder; a store holds the words of one text, so "
            "use a model of one stack."
        )
    with hooked(model.module) as sites:
        attending = sorted({site.layer for site in sites})
    states = range(len(stack_blocks(model.module).names) + 1)
    there: dict[str, Sequence[int]] = {"hidden_states": states, "head_output": attending}
    for name in what:
        if layers is not None and (unknown := set(layers) - set(there[name])):
            raise CaptureError(
                f"There is no {name} of layers {sorted(unknown)}; choose from {[*there[name]]}."
            )
    return {name: tuple(there[name] if layers is None else layers) for name in what}
