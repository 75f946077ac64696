"""Named entities in columns: CoNLL-2003, WNUT17, Universal NER."""

import re
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise
from pathlib import Path

from ..errors import CorpusError
from .files import lines_of, read_bytes
from .text import Corpus, Sentence, sha256_of, words_to_sentence

_TAG = re.compile(r"O|[BI]-\S+")
#: Numbers of words; of multiword ranges and empty nodes, which are no words.
_NUMBER, _NO_WORD = re.compile(r"\d+"), re.compile(r"\d+[-.]\d+")
_COMMENT = re.compile(r"#\s*(?P<name>sent_id|newdoc(?: id)?)\s*(?:=\s*(?P<value>.*\S))?\s*")
_DOCUMENT = "-DOCSTART-"


def read_iob(path: str | Path) -> Corpus:
    """Read words with IOB tags, one a line, sentences apart by an empty line.

    The first column is the word and the last its tag, with tabs or spaces between. Where the first
    one, before a tab, numbers the words of each sentence, the second is the word and the third its
    tag. Comments (`# sent_id = …`, `# newdoc id = …`) name sentences and documents; `-DOCSTART-`
    begins a document too. An `I-` tag that continues no entity of its type begins one, and becomes
    `B-`: so IOB1 becomes IOB2.

    Raises:
        CorpusError: malformed lines (file, line number, what is wrong), or no sentence.
    """
    source = Path(path)
    data = read_bytes(source)
    numbered = _is_numbered(lines_of(data, source))
    sentences = tuple(_sentences(lines_of(data, source), numbered, str(source)))
    if not sentences:
        raise CorpusError(f"{source} holds no sentence; lines of a word and its tag were expected.")
    return Corpus(str(source), sentences, sha256_of(data))


def has_tags(lines: Iterable[str]) -> bool:
    """Whether the first line that is no comment holds a word and its tag, and is no CoNLL-U."""
    cells = _columns(next(_rows(lines), ""))
    return 2 <= len(cells) != 10 and any(map(_TAG.fullmatch, (cells[-1], *cells[2:3])))


def _is_numbered(lines: Iterable[str]) -> bool:
    row = next(_rows(lines), "")
    cells = _columns(row)
    return "\t" in row and len(cells) > 2 and re.match(r"1\b", cells[0]) is not None


def _rows(lines: Iterable[str]) -> Iterator[str]:
    """The lines with a word."""
    for line in lines:
        if line.strip() and not _is_comment(line) and _columns(line)[0] != _DOCUMENT:
            yield line


def _is_comment(line: str) -> bool:
    """A line that begins with `#` but is no row: a word may begin with `#` too."""
    if not line.startswith("#") or "\t" in line:
        return False
    return " = " in line or not _TAG.fullmatch(line.split()[-1])


def _columns(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("\t")] if "\t" in line else line.split()


def _sentences(lines: Iterable[str], numbered: bool, source: str) -> Iterator[Sentence]:
    document: str | None = None
    documents, first, name = 0, 0, ""
    rows: list[tuple[str, str]] = []
    for number, line in enumerate(chain(lines, [""]), start=1):
        if not line.strip():
            if rows:
                words, tags = zip(*rows, strict=True)
                yield words_to_sentence(
                    list(words),
                    id=name or f"line {first}",
                    document=document,
                    entities=_iob2(tags),
                )
            rows, name = [], ""
        elif _is_comment(line):
            found = _COMMENT.fullmatch(line)
            if found and found["name"] == "sent_id":
                name = found["value"] or ""
            elif found:
                documents += 1
                document = found["value"] or f"document {documents}"
        elif (columns := _columns(line))[0] == _DOCUMENT:
            documents += 1
            document = f"document {documents}"
        elif not (numbered and _NO_WORD.fullmatch(columns[0])):
            first = first if rows else number
            rows.append(_row(columns, numbered, f"{source}, line {number}"))


def _row(columns: list[str], numbered: bool, where: str) -> tuple[str, str]:
    """A word and its tag."""
    least = 3 if numbered else 2
    if len(columns) < least:
        raise CorpusError(f"{where}: {len(columns)} columns where {least} or more were expected.")
    if numbered and not _NUMBER.fullmatch(columns[0]):
        raise CorpusError(f"{where}: the word number {columns[0]!r} is not a number.")
    word, tag = (columns[1], columns[2]) if numbered else (columns[0], columns[-1])
    if not word:
        raise CorpusError(f"{where}: the word is empty.")
    if not _TAG.fullmatch(tag):
        raise CorpusError(f"{where}: the tag {tag!r} is not O, B-TYPE or I-TYPE.")
    return word, tag


def _iob2(tags: Iterable[str]) -> tuple[str, ...]:
    return tuple(
        f"B-{tag[2:]}" if tag.startswith("I-") and before[2:] != tag[2:] else tag
        for before, tag in pairwise(["O", *tags])
    )
