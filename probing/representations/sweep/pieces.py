"""Pieces of a sweep: arrays that are kept on disk as soon as they are computed."""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ....capture.shards import open_folder
from ....disk import write_file

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Pieces:
    """What is finished of a sweep; without a folder, nothing is kept."""

    folder: Path | None = None

    def keep(self, name: str, arrays: Arrays) -> None:
        """Write a finished piece.

        Raises:
            OutputError: the folder cannot be written.
        """
        if self.folder is not None:
            content = io.BytesIO()
            np.savez(content, allow_pickle=False, **arrays)
            write_file(_path(self.folder, name), content.getvalue())

    def read(self, name: str) -> Arrays | None:
        """The arrays of a piece, or None if it is not finished or is damaged."""
        if self.folder is None:
            return None
        try:
            # The archive holds a checksum of every array, which reading compares.
            with np.load(_path(self.folder, name), allow_pickle=False) as arrays:
                return dict(arrays)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None


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
    return folder / f"{name}.npz"
