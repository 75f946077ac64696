"""Finished batches of a study on disk, so that a run that was stopped goes on."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from ..capture.identity import model_identity, versions
from ..capture.shards import open_folder
from ..corpora.text import sha256_of
from ..disk import write_file
from .parts import Part
from .setting import Setting

_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Kept:
    """The folder of a study; without one nothing is kept."""

    folder: Path | None = None

    @classmethod
    def of(
        cls,
        folder: str | Path | None,
        model: Any,
        setting: Setting,
        parts: Sequence[Part],
        modes: Sequence[str],
        draws: int,
        seed: int,
    ) -> "Kept":
        """Make the folder, or check that it holds the same study.

        Raises:
            OutputError: it holds another study, something else, or cannot be written.
        """
        if folder is None:
            return cls()
        place = Path(folder)
        open_folder(place, {
            "model": model_identity(model),
            "texts_sha256": sha256_of(b"".join(
                reading.encoding.ids.tobytes() + repr(reading.wanted).encode()
                for panel in setting.panels for reading in panel.readings
            )),
            "metrics": [metric.name for metric in setting.metrics],
            "parts_sha256": sha256_of(repr(list(parts)).encode()),
            "modes": list(modes),
            "draws": draws,
            "seed": seed,
            "versions": versions(),
        })  # fmt: skip
        return cls(place)

    def read(self, name: str, texts: Sequence[int]) -> tuple[np.ndarray, np.ndarray] | None:
        """What was kept of a batch; None where nothing was, it is damaged, or of other texts."""
        if self.folder is None:
            return None
        path = self.folder / f"{name}{_SUFFIX}"
        try:
            data, record = path.read_bytes(), json.loads(path.with_suffix(".json").read_bytes())
            if record != _record(data, texts):
                return None
            tensors = load(data)
            return tensors["intact"].numpy(), tensors["without"].numpy()
        except (OSError, ValueError, SafetensorError, KeyError):
            return None

    def write(
        self, name: str, texts: Sequence[int], intact: np.ndarray, without: np.ndarray
    ) -> None:
        """Keep a batch, whole or not at all: its record, with its hash, is written last.

        Args:
            texts: which readings it holds; on another device batches are of another size.

        Raises:
            OutputError: the disk is full, or the folder cannot be written.
        """
        if self.folder is None:
            return
        data = save({
            "intact": torch.from_numpy(np.ascontiguousarray(intact)),
            "without": torch.from_numpy(np.ascontiguousarray(without)),
        })  # fmt: skip
        path = self.folder / f"{name}{_SUFFIX}"
        write_file(path, data)
        write_file(path.with_suffix(".json"), json.dumps(_record(data, texts)).encode())


def _record(data: bytes, texts: Sequence[int]) -> dict[str, Any]:
    return {"sha256": sha256_of(data), "texts": list(texts)}
