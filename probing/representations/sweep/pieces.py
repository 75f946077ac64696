"""Pieces of a sweep: arrays that are kept on disk as soon as they are computed."""

import io
import zipfile
from collections.abc import Callable
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

    def __contains__(self, name: str) -> bool:
        return self._read(name) is not None

    def get(self, name: str, compute: Callable[[], Arrays]) -> Arrays:
        """The arrays of a piece: read if it is finished and whole, else computed and kept.

        Raises:
            OutputError: the folder cannot be written.
        """
        found = self._read(name)
        if found is None:
            found = compute()
            if self.folder is not None:
                content = io.BytesIO()
                np.savez(content, allow_pickle=False, **found)
                write_file(self._path(self.folder, name), content.getvalue())
        return found

    def _read(self, name: str) -> Arrays | None:
        if self.folder is None:
            return None
        try:
            # The archive holds a checksum of every array, which reading compares.
            with np.load(self._path(self.folder, name), allow_pickle=False) as arrays:
                return dict(arrays)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    @staticmethod
    def _path(folder: Path, name: str) -> Path:
        return folder / f"{name}.npz"


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
