"""Texts with labels: TSV, JSONL and SST trees."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CorpusError
from .conllu import read_conllu
from .files import decode, existing_file, json_lines, read_bytes, table_rows
from .reading import read_plain_text
from .text import (
    Corpus,
    Sentence,
    documents_of,
    independent_unit,
    random_half,
    sha256_of,
    text_to_sentence,
    units_of,
    words_to_sentence,
)  # fmt: skip

FIELDS = ("text", "text_pair", "label", "rationale")
_MARKS = {"0", "1", "True", "False", "true", "false"}
_SST_LEAF = re.compile(r"\((\d) ([^() ]+)\)")
_SST_BRACKETS = {"-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]"}


@dataclass(frozen=True)
class Example:
    """One text, or a pair of texts, with what is known about it."""

    sentence: Sentence
    pair: Sentence | None = None
    label: str | None = None
    rationale: tuple[bool, ...] = ()
    """Which words of `sentence` a person marked as the reason for the label; empty: unknown."""

    @property
    def id(self) -> str:
        return self.sentence.id


@dataclass(frozen=True)
class Examples:
    """Examples in order, with the name and the hash of what they were read from."""

    name: str
    examples: tuple[Example, ...]
    sha256: str
    whole: str | None = None
    """The unit of the data that these are a part of: documents do not stop being independent
    units because fewer are looked at."""

    def __len__(self) -> int:
        return len(self.examples)

    def __repr__(self) -> str:
        return f"<Examples {self.name!r}: {len(self)}>"

    @cached_property
    def documents(self) -> tuple[str, ...]:
        """Names of the documents, in order of appearance."""
        return documents_of(example.sentence for example in self.examples)

    @property
    def unit(self) -> str:
        """What is independent, and so resampled: `document` or `sentence`."""
        return self.whole or independent_unit(self.documents)

    def first(self, limit: int | None) -> "Examples":
        """The first `limit` examples (all of them for None)."""
        if limit is None:
            return self
        return Examples(self.name, self.examples[:limit], self.sha256)

    def halves(self, seed: int) -> tuple["Examples", "Examples"]:
        """Two halves without a unit in common, drawn at random: one to choose on, one to score on.

        Raises:
            CorpusError: there are fewer than two units.
        """
        units = units_of([example.sentence for example in self.examples], self.unit)
        first = random_half(np.array(units), seed)
        return self.part(np.flatnonzero(first)), self.part(np.flatnonzero(~first))

    def part(self, numbers: Iterable[int]) -> "Examples":
        """The examples of these numbers, counted from 0, in this order."""
        own = tuple(self.examples[number] for number in numbers)
        return replace(self, examples=own, whole=self.unit)


def examples_of(corpus: Corpus) -> Examples:
    """The sentences of a corpus as examples, with their labels if they have any."""
    examples = tuple(
        Example(replace(sentence, pair=None, label=None), sentence.pair, sentence.label)
        for sentence in corpus.sentences
    )
    return Examples(corpus.name, examples, corpus.sha256)


def corpus_of(examples: Examples) -> Corpus:
    """Examples as a corpus with their labels; a pair of texts is read as a pair."""
    sentences = tuple(
        replace(example.sentence, pair=example.pair, label=example.label)
        for example in examples.examples
    )
    return Corpus(examples.name, sentences, examples.sha256)


def read_examples(path: str | Path, columns: dict[str, str] | None = None) -> Examples:
    """Read examples by the ending of the file.

    `.tsv` and `.csv` need a header, `.jsonl` one object a line; the fields are `text` and,
    optionally, `text_pair`, `label` and `rationale` (a list of 0 and 1, one per word).
    `columns` maps these to the file's own names: `{"text": "Text", "label": "Sentiment"}`.
    A `.txt` file that starts with `(` holds SST trees, else plain text, one sentence a line;
    `.conllu` gives its sentences without labels.

    Raises:
        CorpusError: no such file, no example, unknown ending, a missing or empty field.
    """
    source = existing_file(path)
    if unknown := set(columns or {}) - set(FIELDS):
        raise CorpusError(f"columns names {sorted(unknown)}; the fields are {', '.join(FIELDS)}.")
    names = {field: (columns or {}).get(field, field) for field in FIELDS}
    if source.suffix in (".conllu", ".conll"):
        return examples_of(read_conllu(source))
    if source.suffix == ".txt":
        starts_tree = decode(read_bytes(source), source).lstrip().startswith("(")
        return read_sst(source) if starts_tree else examples_of(read_plain_text(source))
    if source.suffix not in (".tsv", ".csv", ".jsonl"):
        raise CorpusError(
            f"{source} ends in {source.suffix!r}; give .tsv, .csv, .jsonl, .conllu or .txt."
        )
    records = json_lines(source) if source.suffix == ".jsonl" else table_rows(source)
    examples = tuple(_example(record, names, where) for where, record in records)
    if not examples:
        raise CorpusError(f"{source} holds no example.")
    return Examples(str(source), examples, sha256_of(read_bytes(source)))


def read_sst(path: str | Path) -> Examples:
    """Stanford Sentiment Treebank trees as two classes: 0-1 negative, 3-4 positive.

    Neutral sentences are dropped (Socher et al. 2013, section 4). Words are the leaves.

    Raises:
        CorpusError: a line is not a labelled tree, or none is left.
    """
    source = existing_file(path)
    examples = []
    for number, line in enumerate(decode(read_bytes(source), source).split("\n"), start=1):
        if not line.strip():
            continue
        leaves = _SST_LEAF.findall(line)
        if not leaves or line.count("(") != line.count(")") or line[1:2] not in set("01234"):
            raise CorpusError(f"{source}, line {number}: not a tree such as '(3 (2 so) (3 good))'.")
        if line[1] != "2":
            words = [_SST_BRACKETS.get(word, word.replace("\\/", "/")) for _, word in leaves]
            label = "negative" if line[1] in "01" else "positive"
            examples.append(Example(words_to_sentence(words, id=f"line {number}"), label=label))
    if not examples:
        raise CorpusError(f"{source} holds no tree with a label other than neutral.")
    return Examples(str(source), tuple(examples), sha256_of(read_bytes(source)))


def _example(record: dict[str, Any], names: dict[str, str], where: str) -> Example:
    text = record.get(names["text"])
    if not isinstance(text, str) or not text.strip():
        if {"sentence_good", "sentence_bad"} <= record.keys():
            raise CorpusError(
                f"{where} holds minimal pairs, not texts: read_minimal_pairs reads them, and "
                "`bertology ablate` and its studies with the metric minimal_pairs."
            )
        problem = "is empty" if names["text"] in record else "is missing"
        raise CorpusError(
            f"{where}: the text field {names['text']!r} {problem}; it has "
            f"{', '.join(map(repr, record))}. Map names with columns (--columns text=NAME)."
        )
    number = where.rpartition(", ")[2]
    sentence = text_to_sentence(text, id=str(record.get("id") or number))
    pair = record.get(names["text_pair"])
    if pair is not None and not isinstance(pair, str):
        raise CorpusError(f"{where}: the field {names['text_pair']!r} is {pair!r}, not a text.")
    label = record.get(names["label"])
    rationale = _rationale(record.get(names["rationale"]), len(sentence), where)
    return Example(
        sentence,
        text_to_sentence(pair, id=f"{sentence.id} pair") if pair else None,
        None if label in (None, "") else str(label),
        rationale,
    )


def _rationale(given: Any, words: int, where: str) -> tuple[bool, ...]:
    """One mark per word, from a list, or from a cell such as `[0, 1, 1]` or `0 1 1`."""
    if given in (None, "", []):
        return ()
    marks = re.findall(r"[^\s,\[\]]+", given) if isinstance(given, str) else given
    if not isinstance(marks, list) or not {str(mark) for mark in marks} <= _MARKS:
        raise CorpusError(f"{where}: the rationale is {given!r}; give one 0 or 1 per word.")
    if len(marks) != words:
        raise CorpusError(
            f"{where}: the rationale has {len(marks)} entries for {words} words; "
            "give one 0 or 1 per white-space word."
        )
    return tuple(str(mark) in ("1", "True", "true") for mark in marks)
