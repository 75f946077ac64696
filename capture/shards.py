"""Shards: the results of a pass over a corpus, on disk, in parts that are whole or absent.

A folder holds `pass.json`, which says what the pass is made of, and for every shard a safetensors
file with a record beside it. The record is written last and holds the hashes of the file and of
each tensor in it: a shard is finished when its record says so and the file agrees.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ..disk import PARTIAL, write_file, writing
from ..errors import OutputError
from .identity import as_bytes

PASS = "pass.json"

#: What one sentence gives, by name. Axis 0 is what sentences are concatenated along: 1 long for
#: one number a sentence, as long as the sentence has words for one number a word.
Record = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Shards:
    """The finished shards of a pass, read one tensor of one shard at a time."""

    folder: Path
    members: tuple[np.ndarray, ...]
    """Per shard, the sentences in it, in the order of its rows."""

    def tensors(self, name: str) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        """The sentences of each shard with one tensor of it.

        Raises:
            OutputError: a shard is damaged.
        """
        for number, members in enumerate(self.members):
            yield members, read_tensor(self.folder, number, name)

    def split(self, name: str, counts: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Each sentence, shard by shard, with its rows of one tensor (fractions as float32).

        Args:
            counts: (sentence,), how many rows each sentence has.

        Raises:
            OutputError: a shard is damaged.
        """
        for members, tensor in self.tensors(name):
            rows, ends = _array(tensor), counts[members].cumsum()
            for sentence, end in zip(members.tolist(), ends.tolist(), strict=True):
                yield sentence, rows[end - counts[sentence] : end]

    def gather(self, name: str) -> np.ndarray:
        """One row a sentence, of all shards, in the order of the corpus (fractions as float32).

        Raises:
            OutputError: a shard is damaged.
        """
        gathered: np.ndarray | None = None
        for members, tensor in self.tensors(name):
            rows = _array(tensor)
            if gathered is None:
                total = sum(map(len, self.members))
                gathered = np.empty((total, *rows.shape[1:]), rows.dtype)
            gathered[members] = rows
        if gathered is None:
            raise OutputError(f"{self.folder} holds no shard.")
        return gathered


def open_folder(folder: Path, identity: dict[str, Any]) -> None:
    """Make the folder of a pass, or check that it holds the same pass.

    Raises:
        OutputError: it holds another pass, something else, or cannot be written.
    """
    ours = json.loads(json.dumps(identity))
    if (folder / PASS).is_file():
        refuse_other_pass(folder, read_pass(folder), ours)
        # What a killed writer left behind.
        for partial in folder.glob(f"*{PARTIAL}"):
            with suppress(OSError):
                partial.unlink()
        return
    with writing(folder):
        if folder.exists() and (folder.is_file() or any(folder.iterdir())):
            raise OutputError(f"{folder} holds something else than shards; give a new folder.")
    write_file(folder / PASS, json.dumps(ours, indent=1, ensure_ascii=False).encode())


def read_pass(folder: Path) -> dict[str, Any]:
    """What the pass in a folder is made of.

    Raises:
        OutputError: the folder holds no pass, or its description is damaged.
    """
    path = folder / PASS
    if not path.is_file():
        raise OutputError(f"{folder} holds no shards: {PASS} is missing.")
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise OutputError(f"{path} is damaged ({error}); delete the folder {folder}.") from error


def refuse_other_pass(folder: Path, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """Compare two descriptions of a pass, or the parts of one that `ours` names.

    Raises:
        OutputError: they differ; the message says where.
    """
    different = [
        f"{place} was {shown[0]}, now {shown[1]}"
        for place, *shown in _differences(theirs, ours)
        # The same weights, or the same text, may have another name today.
        if not place.endswith((".name", ".revision", ".weights_sha256"))
    ]
    if different:
        raise OutputError(
            f"The shards in {folder} belong to another pass ({'; '.join(different)}); give a new "
            "folder, or the model, text, options and versions that they were made with."
        )


def _differences(theirs: Any, ours: Any, place: str = "") -> Iterator[tuple[str, str, str]]:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in ours:
            yield from _differences(theirs.get(key), ours[key], f"{place}.{key}".lstrip("."))
    elif theirs != ours:
        yield place, repr(theirs)[:40], repr(ours)[:40]


@dataclass(frozen=True)
class Member:
    """A sentence of a shard."""

    number: int
    """Its place among the sentences that were read."""
    id: str
    words: int


def members_of(folder: Path, number: int) -> list[Member]:
    """The sentences of a shard, in the order of its rows.

    Raises:
        OutputError: the shard is not there, or its record is damaged.
    """
    path = _path(folder, number)
    try:
        return [Member(*member) for member in (_record(path) or {})["members"]]
    except (KeyError, TypeError) as error:
        raise _damaged(path, "its record is missing or damaged") from error


def write_shard(
    folder: Path, number: int, members: Sequence[Member], records: Sequence[Record]
) -> None:
    """Write the records of the sentences of a shard, in order.

    Raises:
        OutputError: the disk is full, or the folder cannot be written.
    """
    if not folder.is_dir():
        # Made again here, a folder that was removed would hold shards without a description.
        raise OutputError(f"The folder {folder} is gone; run again to start afresh.")
    tensors = {
        name: torch.cat([record[name] for record in records]).contiguous() for name in records[0]
    }
    data = save(tensors)
    path = _path(folder, number)
    record = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "tensors": {name: _sha256(tensor) for name, tensor in tensors.items()},
        "members": [(member.number, member.id, member.words) for member in members],
    }
    write_file(path, data)
    write_file(path.with_suffix(".json"), json.dumps(record).encode())


def is_finished(folder: Path, number: int) -> bool:
    """Whether a shard is there and whole: its file has the hash in its record."""
    path = _path(folder, number)
    record = _record(path)
    if record is None or not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == record.get("sha256")


def read_tensor(folder: Path, number: int, name: str) -> torch.Tensor:
    """One tensor of a shard, memory-mapped: of the other tensors, no byte is read.

    Raises:
        OutputError: the shard is missing, or this tensor is damaged.
    """
    path = _path(folder, number)
    record = _record(path) or {}
    try:
        with safe_open(path, framework="pt") as file:
            tensor = file.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise _damaged(path, str(error)) from error
    if _sha256(tensor) != record.get("tensors", {}).get(name):
        raise _damaged(path, f"the checksum of {name} is another")
    return tensor


def _damaged(path: Path, reason: str) -> OutputError:
    return OutputError(
        f"The shard {path} is damaged ({reason}); repeat the pass with the same folder, which does "
        "only the damaged and missing shards again."
    )


def _record(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.with_suffix(".json").read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _array(tensor: torch.Tensor) -> np.ndarray:
    # numpy has no bfloat16.
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}.safetensors"


def _sha256(tensor: torch.Tensor) -> str:
    return hashlib.sha256(as_bytes(tensor)).hexdigest()
