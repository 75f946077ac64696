"""Writing files so that a kill, a crash or a full disk leaves the whole file or none."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import OutputError

PARTIAL = ".partial"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says against writing `path` into an OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror or error}). What was finished before it "
            "is intact: make room or give another folder, then repeat the command (with --resume)."
        ) from error


def write_file(path: Path, data: bytes) -> None:
    """Write a file whole: under another name first, then renamed, which is atomic.

    Raises:
        OutputError: the disk is full, or the folder cannot be written.
    """
    # The number of the process keeps two writers of one file out of each other's way.
    partial = path.with_name(f"{path.name}.{os.getpid()}{PARTIAL}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("wb") as file:
                file.write(data)
                file.flush()
                # A rename may reach the disk before the content it names.
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError:
            with suppress(OSError):
                partial.unlink()
            raise
