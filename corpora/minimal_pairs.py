"""Minimal pairs: two sentences that differ in one thing, of which one is acceptable."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ..errors import CorpusError
from .files import existing_file, json_lines, read_bytes, table_rows
from .text import sha256_of

#: What a pair is made of, and what BLiMP calls it.
_BLIMP = {
    "good": "sentence_good", "bad": "sentence_bad", "paradigm": "UID",
    "phenomenon": "linguistics_term", "field": "field", "id": "pairID",
}  # fmt: skip
_PLAIN = {name: name for name in _BLIMP}


@dataclass(frozen=True)
class MinimalPair:
    """Two sentences; a paradigm is one template of pairs, a phenomenon what some templates test."""

    good: str
    bad: str
    paradigm: str
    phenomenon: str
    field: str = ""
    """The field of linguistics, such as `syntax`."""
    id: str = ""


@dataclass(frozen=True)
class MinimalPairs:
    """Pairs in order, with the name and the hash of what they were read from."""

    name: str
    pairs: tuple[MinimalPair, ...]
    sha256: str
    #: Pairs are what intervals resample; they come from no documents.
    unit: ClassVar[str] = "pair"
    documents: ClassVar[tuple[str, ...]] = ()

    def __repr__(self) -> str:
        return f"<MinimalPairs {self.name!r}: {len(self)}>"

    def __len__(self) -> int:
        return len(self.pairs)

    def first(self, limit: int | None) -> "MinimalPairs":
        """The first `limit` pairs of every paradigm (all of them for None)."""
        if limit is None:
            return self
        counts: dict[str, int] = {}
        kept = []
        for pair in self.pairs:
            counts[pair.paradigm] = counts.get(pair.paradigm, 0) + 1
            if counts[pair.paradigm] <= limit:
                kept.append(pair)
        return MinimalPairs(self.name, tuple(kept), self.sha256)


def read_minimal_pairs(path: str | Path) -> MinimalPairs:
    """Read minimal pairs from a file, or from every .jsonl file of a folder in order of names.

    `.jsonl` is the format of BLiMP (Warstadt et al. 2020): `sentence_good` and `sentence_bad`, and
    optionally `UID` (the paradigm), `linguistics_term` (the phenomenon), `field` and `pairID`.
    `.tsv` and `.csv` need a header: `good` and `bad`, and optionally `paradigm`, `phenomenon`,
    `field` and `id`. Without a paradigm it is the name of the file, without a phenomenon the
    paradigm.

    Raises:
        CorpusError: no such file, no pair, unknown ending, a sentence that is missing or empty, or
            a paradigm of two phenomena.
    """
    files = _files(Path(path))
    pairs = tuple(pair for file in files for pair in _pairs(file))
    if not pairs:
        raise CorpusError(f"{path} holds no minimal pair.")
    data = b"".join(read_bytes(file) for file in files)
    return MinimalPairs(str(path), pairs, sha256_of(data))


def _files(source: Path) -> list[Path]:
    if not source.is_dir():
        return [existing_file(source)]
    if files := sorted(source.glob("*.jsonl")):
        return files
    raise CorpusError(f"The folder {source} holds no .jsonl file of minimal pairs.")


def _pairs(file: Path) -> Iterator[MinimalPair]:
    if file.suffix not in (".jsonl", ".tsv", ".csv"):
        raise CorpusError(f"{file} ends in {file.suffix!r}; give .jsonl, .tsv or .csv.")
    blimp = file.suffix == ".jsonl"
    names = _BLIMP if blimp else _PLAIN
    records: Iterable[tuple[str, dict[str, Any]]] = json_lines(file) if blimp else table_rows(file)
    phenomena: dict[str, str] = {}
    for where, record in records:
        pair = _pair(record, names, file.stem, where)
        known = phenomena.setdefault(pair.paradigm, pair.phenomenon)
        if known != pair.phenomenon:
            raise CorpusError(
                f"{where}: the paradigm {pair.paradigm!r} is of the phenomenon "
                f"{pair.phenomenon!r}, and was of {known!r} before; name one."
            )
        yield pair


def _pair(record: dict[str, Any], names: dict[str, str], stem: str, where: str) -> MinimalPair:
    def sentence(name: str) -> str:
        text = record.get(names[name])
        if isinstance(text, str) and text.strip():
            return text
        problem = f"is {text!r}, no text" if names[name] in record else "is missing"
        raise CorpusError(
            f"{where}: {names[name]!r} {problem}; a pair needs {names['good']!r} and "
            f"{names['bad']!r}, and this one has {', '.join(map(repr, record)) or 'nothing'}."
        )

    def optional(name: str, otherwise: str) -> str:
        value = record.get(names[name])
        return otherwise if value in (None, "") else str(value)

    paradigm = optional("paradigm", stem)
    return MinimalPair(
        good=sentence("good"),
        bad=sentence("bad"),
        paradigm=paradigm,
        phenomenon=optional("phenomenon", paradigm),
        field=optional("field", ""),
        id=optional("id", where.rpartition(", ")[2]),
    )
