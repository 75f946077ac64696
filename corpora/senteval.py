"""Probing files of SentEval (Conneau et al. 2018): part, label and sentence in each line."""

import re
from pathlib import Path

from ..errors import CorpusError
from .files import existing_file, lines_of, read_bytes
from .text import Corpus, Sentence, sha256_of, text_to_sentence

PARTS = ("tr", "va", "te")
#: How a line shows that the file is of this kind.
LINE = re.compile(rf"({'|'.join(PARTS)})\t[^\t]+\t[^\t]*\S")


def read_senteval(path: str | Path) -> dict[str, Corpus]:
    """The corpus of each part (`tr`, `va`, `te`) that a file has; its sentences carry the label.

    A line holds the part, the label, the sentence (words are what white space separates) and, if
    the file gives one, an id, with tabs between.

    Raises:
        CorpusError: malformed lines (file, line number, what is wrong), or no sentence.
    """
    source = existing_file(path)
    data = read_bytes(source)
    parts: dict[str, list[Sentence]] = {}
    for number, line in enumerate(lines_of(data, source), start=1):
        if line.strip():
            part, sentence = _parsed(line, number, source)
            parts.setdefault(part, []).append(sentence)
    if not parts:
        raise CorpusError(f"{source} is empty; lines of part, label and sentence were expected.")
    digest = sha256_of(data)
    return {
        part: Corpus(f"{source} ({part})", tuple(parts[part]), digest)
        for part in PARTS
        if part in parts
    }


def _parsed(line: str, number: int, source: Path) -> tuple[str, Sentence]:
    cells = [cell.strip() for cell in line.split("\t")]
    if len(cells) not in (3, 4) or not all(cells) or cells[0] not in PARTS:
        raise CorpusError(
            f"{source}, line {number}: {line[:60]!r}; a part ({', '.join(PARTS)}), a label, a "
            "sentence and perhaps an id were expected, with tabs between."
        )
    part, label, text, *rest = cells
    return part, text_to_sentence(text, id=rest[0] if rest else f"line {number}", label=label)
