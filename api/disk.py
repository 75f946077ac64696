"""Writing files so that a kill, a crash or a full disk leaves the whole file or none."""

import os
import tempfile
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


@contextmanager
def writing_folder(target: Path) -> Iterator[Path]:
    """A folder to fill that takes the place of `target` once it is whole; until then a folder that
    is there stays.

    Raises:
        OutputError: the disk is full, or the folder cannot be written.
    """
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as place:
            # Inside, because a temporary folder may be read by its owner only.
            unfinished = Path(place) / "unfinished"
            unfinished.mkdir()
            yield unfinished
            if target.is_dir() and any(target.iterdir()):
                target.rename(Path(place) / "old")
            unfinished.replace(target)


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
