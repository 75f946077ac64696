"""CoNLL-U: trees, features, documents, and coreference in `Entity=` (GUM convention).

Format: https://universaldependencies.org/format.html. The library `conllu` reads comments and
key-value columns; this module checks every line, names the line of a mistake, and builds sentences.
"""

import re
import sys
from itertools import chain
from pathlib import Path

from conllu.parser import DEFAULT_FIELDS, parse_comment_line, parse_dict_value

from ..errors import CorpusError
from .brackets import mentions_in
from .files import lines_of, read_bytes
from .text import Corpus, Mention, Sentence, sha256_of, words_to_sentence

_NUMBER = re.compile(r"[0-9]+")


def read_conllu(path: str | Path) -> Corpus:
    """Read a treebank.

    Empty nodes and multiword ranges are not words; `# text` is not used: the text of a
    sentence is its words joined by single spaces.

    Raises:
        CorpusError: malformed lines (file, line number, what is wrong), or no sentence.
    """
    source = Path(path)
    data = read_bytes(source)
    reader = _Reader(str(source))
    block: list[str] = []
    for number, line in enumerate(chain(lines_of(data, source), [""]), start=1):
        if line.strip():
            block.append(line)
        elif block:
            reader.add(block, first_line=number - len(block))
            block = []
    if not reader.sentences:
        raise CorpusError(f"{source} holds no sentence; a CoNLL-U file with words was expected.")
    return Corpus(str(source), tuple(reader.sentences), sha256_of(data))


class _Reader:
    """Turns blocks of lines into sentences, carrying the current document along."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.document: str | None = None
        self.unnamed = 0
        self.sentences: list[Sentence] = []

    def fail(self, line: int, problem: str) -> CorpusError:
        return CorpusError(f"{self.source}, line {line}: {problem}")

    def add(self, block: list[str], first_line: int) -> None:
        metadata: dict[str, str | None] = {}
        rows, lines = [], []
        for line_number, line in enumerate(block, start=first_line):
            if line.startswith("#"):
                metadata.update(parse_comment_line(line))
            elif row := self.row(line, line_number):
                rows.append(row)
                lines.append(line_number)
        if "newdoc id" in metadata or "newdoc" in metadata:
            self.unnamed += 1
            self.document = metadata.get("newdoc id") or f"document {self.unnamed}"
        if not rows:
            if any(not line.startswith("#") for line in block):
                raise self.fail(first_line, "the sentence has no word (only ranges or empty nodes)")
            return
        heads = self.heads(rows, lines)
        self.sentences.append(
            words_to_sentence(
                [row["form"] for row in rows],
                id=metadata.get("sent_id") or f"line {first_line}",
                document=self.document,
                lemmas=tuple(row["lemma"] for row in rows),
                upos=tuple(row["upos"] for row in rows),
                xpos=tuple(row["xpos"] for row in rows),
                feats=tuple(row["feats"] for row in rows),
                heads=heads,
                deprels=tuple(row["deprel"] for row in rows) if heads else (),
                mentions=self.mentions(rows, lines),
            )
        )

    def row(self, line: str, number: int) -> dict[str, str] | None:
        columns = line.split("\t")
        if len(columns) != 10:
            raise self.fail(
                number,
                f"{len(columns)} tab-separated columns where CoNLL-U has 10: {line[:60]!r}",
            )
        if re.fullmatch(r"\d+-\d+|\d+\.\d+", columns[0]):
            return None
        if not _NUMBER.fullmatch(columns[0]):
            raise self.fail(number, f"the word number {columns[0]!r} is not a number")
        if not columns[1] or columns[1] != columns[1].strip():
            raise self.fail(number, "the word form is empty or has white space around it")
        # A treebank says the same thing many times: one string serves for all.
        return dict(zip(DEFAULT_FIELDS, map(sys.intern, columns), strict=True))

    def heads(self, rows: list[dict[str, str]], lines: list[int]) -> tuple[int, ...]:
        """Heads from 0, root -1; empty if the treebank gives none in this sentence."""
        for expected, (row, line) in enumerate(zip(rows, lines, strict=True), start=1):
            if int(row["id"]) != expected:
                raise self.fail(line, f"word number {row['id']} where {expected} was expected")
        if all(row["head"] == "_" for row in rows):
            return ()
        heads = []
        for row, line in zip(rows, lines, strict=True):
            if not _NUMBER.fullmatch(row["head"]) or int(row["head"]) > len(rows):
                raise self.fail(
                    line, f"the head {row['head']!r} is not a number from 0 to {len(rows)}"
                )
            if row["deprel"] in ("_", ""):
                raise self.fail(line, f"word {row['id']} has a head but no relation")
            heads.append(int(row["head"]) - 1)
        self.check_tree(heads, lines)
        return tuple(heads)

    def check_tree(self, heads: list[int], lines: list[int]) -> None:
        roots = [i for i, head in enumerate(heads) if head == -1]
        if len(roots) != 1:
            raise self.fail(
                lines[roots[1]] if roots else lines[0],
                f"the sentence has {len(roots)} roots; a tree has exactly one word with head 0",
            )
        for start in range(len(heads)):
            seen, word = set(), start
            while word != -1:
                if word in seen:
                    raise self.fail(lines[start], f"word {start + 1} is part of a cycle of heads")
                seen.add(word)
                word = heads[word]

    def mentions(self, rows: list[dict[str, str]], lines: list[int]) -> tuple[Mention, ...]:
        cells = [(parse_dict_value(row["misc"]) or {}).get("Entity") or "" for row in rows]
        return mentions_in(cells, _named, lambda word, problem: self.fail(lines[word], problem))


def _named(label: str) -> tuple[str, str]:
    """The entity and its type in `1-person-new-…`."""
    entity, _, rest = label.partition("-")
    return entity, rest.partition("-")[0]
