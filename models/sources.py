"""Where a checkpoint is: a folder, or a repository of the hub at one commit."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError
from transformers.utils import cached_file, has_file

from ..errors import ModelError
from .demo import demo_folder

T = TypeVar("T")


@dataclass(frozen=True)
class Source:
    """A checkpoint that is there."""

    name: str
    """As the user gave it."""
    place: Path | str
    """A folder, or the id of a repository of the hub."""
    revision: str | None = None
    """The commit, of a repository."""
    gguf_file: str | None = None

    def file(self, name: str) -> Path | None:
        """A file of the checkpoint, downloaded if it must be; None where there is none."""
        return _file(self.name, self.place, name, self.revision)

    def has(self, name: str) -> bool:
        """Whether the checkpoint has a file; nothing is downloaded."""
        if isinstance(self.place, Path):
            return (self.place / name).is_file()
        place = self.place
        return attempt(
            self.name,
            lambda: has_file(place, name, revision=self.revision, local_files_only=is_offline()),
        )


def find_source(
    name: str | Path, *, revision: str | None = None, gguf_file: str | None = None
) -> Source:
    """Find a checkpoint by `demo`, folder, .gguf file or hub id.

    Raises:
        ModelError: there is no such thing, or a revision is given for something on this disk.
    """
    path = Path(name).expanduser()
    if str(name) == "demo":
        local: Path | None = demo_folder()
    elif path.is_file() and path.suffix == ".gguf":
        local, gguf_file = path.parent, _only(gguf_file, path)
    else:
        local = path if path.is_dir() else None
    if local is not None:
        return _local(str(name), local, revision, gguf_file)
    if path.is_file() or path.is_absolute() or str(name).startswith((".", "~")):
        raise ModelError(
            f"There is no model folder {path}; give a folder with config.json, a .gguf file, a "
            "hub id such as 'bert-base-uncased', or 'demo'."
        )
    return _on_hub(str(name), revision, gguf_file)


def attempt(
    name: str | Path,
    load: Callable[[], T],
    refused: Callable[[str | Path, str], ModelError] | None = None,
) -> T:
    """Run a loading step; turn what goes wrong into one message.

    Args:
        refused: makes the error from the name and the reason (default: that of a model).
    """
    try:
        return load()
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError,
            SafetensorError) as error:  # fmt: skip
        first = next((line for line in str(error).splitlines() if line.strip()), "")
        if "trust_remote_code" in str(error):
            raise ModelError(
                f"The checkpoint {str(name)!r} comes with Python code of its own, which runs only "
                "when you say so. Read the code first; then give trust_remote_code=True "
                "(--trust-remote-code on the command line)."
            ) from error
        reason = f"{type(error).__name__}: {first.rstrip('.: ')}."
        raise (refused or _failure)(name, reason) from error


def is_offline() -> bool:
    """Whether the hub is switched off."""
    return os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0")


def _failure(name: str | Path, reason: str) -> ModelError:
    offline = "; the hub is switched off by HF_HUB_OFFLINE" if is_offline() else ""
    return ModelError(
        f"The model {str(name)!r} cannot be loaded: {reason} Give a folder that holds a model, a "
        ".gguf file, 'demo', or the id of a model on the hub, which needs a network connection "
        f"the first time{offline}."
    )


def _only(gguf_file: str | None, path: Path) -> str:
    if gguf_file not in (None, path.name):
        raise ModelError(
            f"The model is the file {path}, and gguf_file={gguf_file!r} is another; give the file, "
            "or its folder with gguf_file."
        )
    return path.name


def _local(name: str, folder: Path, revision: str | None, gguf_file: str | None) -> Source:
    if revision is not None:
        raise ModelError(
            f"The revision {revision!r} is given for {name!r}, which is on this disk; only models "
            "from the hub have revisions. Leave it out, or give a hub id."
        )
    if gguf_file is not None:
        if not (folder / gguf_file).is_file():
            there = sorted(path.name for path in folder.glob("*.gguf"))
            raise ModelError(
                f"The folder {folder} has no file {gguf_file}; "
                f"its .gguf files: {', '.join(there) or 'none'}."
            )
    elif not any((folder / n).is_file() for n in ("config.json", "adapter_config.json")):
        found = sorted(path.name for path in folder.glob("*.gguf"))
        hint = f" Choose one of its .gguf files with gguf_file: {', '.join(found)}."
        raise ModelError(
            f"The folder {folder} holds no model: config.json is missing.{hint if found else ''}"
        )
    return Source(name, folder, gguf_file=gguf_file)


def _on_hub(name: str, revision: str | None, gguf_file: str | None) -> Source:
    probes = (gguf_file,) if gguf_file else ("config.json", "adapter_config.json")
    for probe in probes:
        if found := _file(name, name, probe, revision):
            # Everything else comes from the commit that a branch or tag stands for now.
            return Source(name, name, _commit_of(found) or revision, gguf_file)
    at = f" at revision {revision!r}" if revision else ""
    missing = " or ".join(probes)
    where = "the cache of the hub on this disk" if is_offline() else "the hub"
    raise _failure(name, f"there is no {missing} of it{at} in {where}.")


def _file(label: str, place: Path | str, name: str, revision: str | None) -> Path | None:
    if isinstance(place, Path):
        return place / name if (place / name).is_file() else None
    found = attempt(
        label,
        lambda: cached_file(
            place, name, revision=revision, _raise_exceptions_for_missing_entries=False
        ),
    )
    return None if found is None else Path(found)


def _commit_of(file: Path) -> str | None:
    """The commit in a path of the hub's cache: …/snapshots/COMMIT/FILE."""
    parts = file.parts
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts else None
