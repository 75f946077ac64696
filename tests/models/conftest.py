"""Small checkpoints on disk."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Save = Callable[..., Path]


@pytest.fixture
def saved(tiny_model: Any, tmp_path: Path) -> Save:
    """Save a tiny model of a family with its tokenizer; returns the folder."""

    def save(family: str, task: str = "encoder", name: str = "checkpoint", **options: Any) -> Path:
        model = tiny_model(family, task)
        model.module.save_pretrained(tmp_path / name, **options)
        model.tokenizer.save_pretrained(tmp_path / name)
        return tmp_path / name

    return save


@pytest.fixture
def in_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Put a folder into a cache of the hub under an id; returns the commit."""
    from huggingface_hub import constants

    cache = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))

    def put(folder: Path, repository: str, revision: str = "main", digit: str = "a") -> str:
        commit = digit * 40
        home = cache / f"models--{repository.replace('/', '--')}"
        (home / "refs").mkdir(parents=True, exist_ok=True)
        (home / "refs" / revision).write_text(commit)
        snapshot = home / "snapshots" / commit
        snapshot.mkdir(parents=True, exist_ok=True)
        for file in folder.iterdir():
            (snapshot / file.name).write_bytes(file.read_bytes())
        return commit

    return put
