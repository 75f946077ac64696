"""Sentences with their words and whatever annotation the corpus gives."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import CorpusError

#: From this many named documents on, the document is the unit that intervals resample.
MIN_DOCUMENTS = 20


@dataclass(frozen=True)
class Mention:
    """A span of words that refers to an entity; `end` is exclusive."""

    entity: str
    start: int
    end: int
    kind: str = ""


@dataclass(frozen=True)
class Argument:
    """A span of words that fills a role of a predicate; `end` is exclusive."""

    role: str
    start: int
    end: int


@dataclass(frozen=True)
class Frame:
    """A predicate (the index of its word) with its arguments."""

    predicate: int
    roleset: str
    arguments: tuple[Argument, ...] = ()


@dataclass(frozen=True)
class ProtoRole:
    """How far a property, such as `volition`, holds of a word as the argument of a predicate."""

    name: str
    predicate: int
    argument: int
    value: float


@dataclass(frozen=True)
class Sentence:
    """A text with the character span of each word.

    Annotation is one tuple per column, one entry per word, or empty where the corpus has none.
    `heads` are word indices from 0; a root has -1 (a passage has as many roots as sentences).
    `entities` are IOB2 tags: `B-PER` begins an entity, `I-PER` goes on with it, `O` is none.
    `label` is a class of the whole text.
    `pair` is a second text that the model reads behind this one, its words being no words here.
    """

    id: str
    text: str
    spans: tuple[tuple[int, int], ...]
    document: str | None = None
    lemmas: tuple[str, ...] = ()
    upos: tuple[str, ...] = ()
    xpos: tuple[str, ...] = ()
    feats: tuple[str, ...] = ()
    heads: tuple[int, ...] = ()
    deprels: tuple[str, ...] = ()
    mentions: tuple[Mention, ...] = ()
    frames: tuple[Frame, ...] = ()
    entities: tuple[str, ...] = ()
    proto_roles: tuple[ProtoRole, ...] = ()
    label: str | None = None
    pair: "Sentence | None" = None

    @cached_property
    def words(self) -> tuple[str, ...]:
        return tuple(self.text[start:end] for start, end in self.spans)

    def __len__(self) -> int:
        return len(self.spans)


@dataclass(frozen=True)
class Corpus:
    """Sentences in order, with the name and the hash of what they were read from."""

    name: str
    sentences: tuple[Sentence, ...]
    sha256: str

    def __len__(self) -> int:
        return len(self.sentences)

    def __repr__(self) -> str:
        return f"<Corpus {self.name!r}: {len(self)} sentences>"

    @cached_property
    def documents(self) -> tuple[str, ...]:
        """Names of the documents, in order of appearance."""
        return documents_of(self.sentences)

    @property
    def unit(self) -> str:
        """What is independent, and so resampled: `document` or `sentence`."""
        return independent_unit(self.documents)

    def first(self, limit: int | None) -> "Corpus":
        """The first `limit` sentences (all of them for None)."""
        if limit is None:
            return self
        return Corpus(self.name, self.sentences[:limit], self.sha256)


def words_to_sentence(words: list[str], **annotation: Any) -> Sentence:
    """A sentence whose text is the words joined by single spaces."""
    spans, position = [], 0
    for word in words:
        spans.append((position, position + len(word)))
        position += len(word) + 1
    return Sentence(text=" ".join(words), spans=tuple(spans), **annotation)


def text_to_sentence(text: str, **annotation: Any) -> Sentence:
    """A sentence from a text as it stands; its words are what white space separates."""
    spans, position = [], 0
    for word in text.split():
        start = text.index(word, position)
        position = start + len(word)
        spans.append((start, position))
    return Sentence(text=text, spans=tuple(spans), **annotation)


def documents_of(sentences: Iterable[Sentence]) -> tuple[str, ...]:
    """Names of the documents that sentences come from, in order of appearance."""
    return tuple(dict.fromkeys(s.document for s in sentences if s.document is not None))


def independent_unit(documents: Sequence[str]) -> str:
    """The unit that intervals resample: the document where there are at least 20."""
    return "document" if len(documents) >= MIN_DOCUMENTS else "sentence"


def units_of(sentences: list[Sentence], unit: str) -> list[int]:
    """The index of the unit each sentence belongs to, counted from 0 in order of appearance.

    With documents as units, sentences before the first document form a unit of their own.
    """
    if unit == "sentence":
        return list(range(len(sentences)))
    if unit != "document":
        raise CorpusError(f"unit is {unit!r}; it must be 'document' or 'sentence'.")
    numbers: dict[str | None, int] = {}
    return [numbers.setdefault(s.document, len(numbers)) for s in sentences]


def random_half(units: np.ndarray, seed: int) -> np.ndarray:
    """(example,), True for half of the units, drawn at random.

    Args:
        units: (example,), the document or sentence of each.

    Raises:
        CorpusError: there are fewer than two units.
    """
    names = np.random.default_rng(seed).permutation(np.unique(units))
    if len(names) < 2:
        raise CorpusError(
            "What is chosen or averaged on one half of the text is scored on the other, which "
            f"takes at least two sentences or documents, and {len(names)} was given; give more "
            "(ablation with modes=('zero',) needs no halves)."
        )
    return np.isin(units, names[: len(names) // 2])


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
