"""Pieces of a sweep: arrays that are kept on disk as soon as they are computed."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ....capture.shards import open_folder
from ....disk import write_file

Arrays = dict[str, np.ndarray]
_DIGEST = hashlib.sha256().digest_size


@dataclass(frozen=True)
class Pieces:
    """What is finished of a sweep; without a folder, nothing is kept.

    A piece is a file: the SHA-256 of the rest, then the arrays as numpy saves them.
    """

    folder: Path | None = None

    def keep(self, name: str, arrays: Arrays) -> None:
        """Write a finished piece.

        Raises:
            OutputError: the folder cannot be written.
        """
        if self.folder is not None:
            content = io.BytesIO()
            np.savez(content, allow_pickle=False, **arrays)
            data = content.getvalue()
            write_file(_path(self.folder, name), hashlib.sha256(data).digest() + data)

    def read(self, name: str) -> Arrays | None:
        """The arrays of a piece, or None if it is not finished or is damaged."""
        if self.folder is None or not _path(self.folder, name).is_file():
            return None
        content = _path(self.folder, name).read_bytes()
        digest, data = content[:_DIGEST], content[_DIGEST:]
        if hashlib.sha256(data).digest() != digest:
            return None
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return dict(arrays)


def open_pieces(folder: str | Path | None, identity: dict[str, Any]) -> Pieces:
    """The pieces in a folder, which is made, or must be of the same sweep.

    Args:
        identity: what the pieces depend on: model, data, options, versions.

    Raises:
        OutputError: the folder holds those of another sweep, or something else.
    """
    if folder is None:
        return Pieces()
    open_folder(Path(folder), identity)
    return Pieces(Path(folder))


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.piece"
