"""Opening input files, with one message for what can go wrong."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import CorpusError

_LONGEST_FIELD = 10**9


def existing_file(path: str | Path) -> Path:
    """The path, if it is a file.

    Raises:
        CorpusError: it does not exist, or it is a folder.
    """
    source = Path(path)
    if source.is_dir():
        raise CorpusError(f"{source} is a folder; name one file in it.")
    if not source.is_file():
        raise CorpusError(f"There is no file {source}; check the path (now in {Path.cwd()}).")
    return source


def read_bytes(path: str | Path) -> bytes:
    """The content of a file.

    Raises:
        CorpusError: it does not exist, or cannot be read.
    """
    source = existing_file(path)
    try:
        return source.read_bytes()
    except OSError as error:
        raise CorpusError(f"{source} cannot be read: {error.strerror}.") from error


def decode(data: bytes, source: str | Path) -> str:
    """UTF-8 text, with or without a byte order mark.

    Raises:
        CorpusError: the file is in another encoding.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{source} is not UTF-8 text ({error}); save it as UTF-8.") from error


def lines_of(data: bytes, source: str | Path) -> Iterator[str]:
    """The lines of UTF-8 text, decoded one at a time: whole, a text takes up to four times as much.

    Raises:
        CorpusError: the file is in another encoding.
    """
    start = 0
    # At newlines only: str.splitlines would also split at U+2028 and the like in a form.
    while start <= len(data):
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        yield decode(data[start:end], source).rstrip("\r")
        start = end + 1


def json_lines(source: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each JSON object stands (file and line number), and the object; blank lines pass.

    Raises:
        CorpusError: a line holds no JSON object.
    """
    for number, line in enumerate(lines_of(read_bytes(source), source), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise CorpusError(f"{source}, line {number}: not JSON ({error}).") from error
        if not isinstance(record, dict):
            raise CorpusError(f"{source}, line {number}: a JSON object was expected.")
        yield f"{source}, line {number}", record


def table_rows(source: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each row of a .tsv or .csv file with a header ends (file and line), and its cells.

    Raises:
        CorpusError: a quoted field runs over the end of a line, or the csv is broken.
    """
    lines = io.StringIO(decode(read_bytes(source), source), newline="")
    rows = csv.DictReader(lines, delimiter="\t" if source.suffix == ".tsv" else ",")
    # The default limit on a field is below the length of a long document.
    csv.field_size_limit(_LONGEST_FIELD)
    try:
        for row in rows:
            where = f"{source}, line {rows.line_num}"
            if any("\n" in value for value in row.values() if isinstance(value, str)):
                raise CorpusError(
                    f"{where}: a quoted field runs over the end of a line, so rows were merged; "
                    'write a quotation mark inside a quoted field twice ("").'
                )
            yield where, row
    except csv.Error as error:
        raise CorpusError(f"{source}, line {rows.line_num}: {error}.") from error
