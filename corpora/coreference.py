"""Coreference in the columns of CoNLL-2012, as OntoNotes, LitBank and OntoGUM have it.

Format: Pradhan et al. (2012), section 4.2; https://cemantix.org/data/ontonotes.html.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import CorpusError
from .brackets import mentions_in
from .files import lines_of, read_bytes
from .mentions import mention_type
from .text import Corpus, Mention, Sentence, sha256_of, words_to_sentence

#: How a document begins: the name in brackets, and the number of its part.
BEGIN = re.compile(r"#\s*begin document\b\s*(?:\((.*)\);?\s*(?:part\s+(\d+))?|(.*?))\s*$")
_END = re.compile(r"#\s*end document\b")
#: How columns say that they have nothing to say.
_NOTHING = ("", "_", "-", "*")
_SENTENCE_ENDS = (".", "?", "!")
_AFTER_END = (*_SENTENCE_ENDS, '"', "”", "’", "'", "''", ")", "]")


@dataclass(frozen=True)
class _Row:
    word: str
    tag: str
    cell: str
    line: int


_Block = tuple[list[_Row], list[Mention]]


def read_conll_coreference(path: str | Path) -> Corpus:
    """Read documents between `#begin document` and `#end document`, their brackets as mentions.

    Columns are parted by tabs, or by white space. The last one has the brackets; of three columns
    the word is the second, of five or more the fourth, and the fifth, if it is not the last, its
    part of speech. A part of a document is a document of its own, as its entities are
    (`name` for part 0, else `name part 1`). Blank lines end sentences; a document in three columns
    that has none (OntoGUM) is cut behind `.`, `?` and `!` where no mention is open.
    `Mention.kind` is `pronoun`, `proper` or `nominal` (see `mention_type`).

    Raises:
        CorpusError: malformed lines (file, line number, what is wrong), or no sentence.
    """
    source = Path(path)
    data = read_bytes(source)
    reader = _Reader(str(source))
    for number, line in enumerate(lines_of(data, source), start=1):
        reader.read(line, number)
    reader.end_document()
    if not reader.sentences:
        raise CorpusError(
            f"{source} holds no sentence; lines of words after '#begin document' were expected."
        )
    return Corpus(str(source), tuple(reader.sentences), sha256_of(data))


class _Reader:
    """Gathers the rows of a document, and makes sentences of them at its end."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.document: str | None = None
        self.documents: set[str] = set()
        self.blocks: list[list[_Row]] = [[]]
        self.columns = 0
        self.sentences: list[Sentence] = []

    def fail(self, line: int, problem: str) -> CorpusError:
        return CorpusError(f"{self.source}, line {line}: {problem}")

    def read(self, line: str, number: int) -> None:
        if begin := BEGIN.match(line):
            self.begin_document(begin, number)
        elif _END.match(line):
            self.end_document()
        elif not line.strip():
            self.blocks.append([])
        elif not line.startswith("#"):
            self.blocks[-1].append(self.row(line, number))

    def begin_document(self, begin: re.Match[str], line: int) -> None:
        self.end_document()
        name = begin[1] or begin[3] or f"document {len(self.documents) + 1}"
        self.document = f"{name} part {int(begin[2])}" if int(begin[2] or 0) else name
        if self.document in self.documents:
            raise self.fail(line, f"the document {self.document!r} begins a second time")
        self.documents.add(self.document)

    def row(self, line: str, number: int) -> _Row:
        if self.document is None:
            raise self.fail(number, "a word outside of '#begin document' and '#end document'")
        columns = line.split("\t") if "\t" in line else line.split()
        self.columns = len(columns)
        if len(columns) == 3:
            place, word, tag, cell = columns[0], columns[1], "", columns[2]
        elif len(columns) >= 5:
            tag = columns[4] if len(columns) > 5 else ""
            place, word, cell = columns[2], columns[3], columns[-1]
        else:
            raise self.fail(
                number,
                f"{len(columns)} columns where CoNLL coreference has 3 (number, word, brackets) or "
                f"5 and more (document, part, number, word, …, brackets): {line[:60]!r}",
            )
        if not place.strip().isdecimal():
            raise self.fail(number, f"the word number {place!r} is not a number")
        if not word or word != word.strip():
            raise self.fail(number, "the word is empty or has white space around it")
        tag, cell = ("" if text.strip() in _NOTHING else text.strip() for text in (tag, cell))
        return _Row(word, tag, cell, number)

    def end_document(self) -> None:
        blocks = [(rows, list(self.mentions(rows))) for rows in self.blocks if rows]
        if len(blocks) == 1 and self.columns == 3:
            blocks = _cut(*blocks[0])
        for number, (rows, mentions) in enumerate(blocks, start=1):
            self.sentences.append(_sentence(rows, mentions, self.document, number))
        self.document, self.blocks = None, [[]]

    def mentions(self, rows: list[_Row]) -> tuple[Mention, ...]:
        return mentions_in(
            [row.cell for row in rows],
            lambda entity: (entity, ""),
            lambda word, problem: self.fail(rows[word].line, problem),
        )


def _cut(rows: list[_Row], mentions: list[Mention]) -> list[_Block]:
    """The sentences of a document that says nothing of them."""
    inside = {word for m in mentions for word in range(m.start + 1, m.end)}
    starts, ended = [0], False
    for word, row in enumerate(rows):
        if ended and row.word not in _AFTER_END and word not in inside:
            starts.append(word)
        ended = row.word in _SENTENCE_ENDS or (ended and row.word in _AFTER_END)
    parts: list[_Block] = [
        (rows[start:end], []) for start, end in zip(starts, [*starts[1:], len(rows)], strict=True)
    ]
    for mention in mentions:
        part = bisect_right(starts, mention.start) - 1
        start, end = mention.start - starts[part], mention.end - starts[part]
        parts[part][1].append(replace(mention, start=start, end=end))
    return parts


def _sentence(
    rows: list[_Row], mentions: list[Mention], document: str | None, number: int
) -> Sentence:
    tags = tuple(row.tag for row in rows)
    sentence = words_to_sentence(
        [row.word for row in rows],
        id=f"{document}-{number}",
        document=document,
        xpos=tags if all(tags) else (),
        mentions=tuple(mentions),
    )
    typed = tuple(replace(m, kind=mention_type(sentence, m)) for m in sentence.mentions)
    return replace(sentence, mentions=typed)
