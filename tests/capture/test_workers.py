"""Worker processes: the same bits as one process; a dead one is said, and what it did is kept."""

import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bertology import load_model
from bertology.capture import Task, passes, run_pass, workers
from bertology.errors import CaptureError
from bertology.probing.heads.scan import scan_batch

TASK = Task("heads", scan_batch)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "SHARD_TOKENS", 100)
    monkeypatch.setattr(passes, "batch_tokens", lambda model: 60)


@pytest.fixture(scope="module")
def saved(tiny_model, tmp_path_factory) -> Path:
    """A tiny model in a folder, as a worker must find it."""
    model = tiny_model("bert")
    folder = tmp_path_factory.mktemp("model")
    model.module.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def spied(monkeypatch: pytest.MonkeyPatch, update) -> list[subprocess.Popen]:
    """Record worker processes, and call `update(processes)` when texts were read."""
    processes: list[subprocess.Popen] = []
    real = subprocess.Popen

    def start(*arguments: Any, **options: Any) -> subprocess.Popen:
        processes.append(real(*arguments, **options))
        return processes[-1]

    class Bar:
        def __enter__(self) -> SimpleNamespace:
            # Texts are counted once before there are workers, when they are tokenized.
            return SimpleNamespace(update=lambda texts: processes and update(processes))

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(workers.subprocess, "Popen", start)
    monkeypatch.setattr(passes, "progress", lambda *_, **__: Bar())
    return processes


def test_two_workers_give_the_bits_of_one_process(saved, sample, tmp_path: Path) -> None:
    model = load_model(saved)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        run_pass(model, sample, TASK, tmp_path / "one")
    finally:
        torch.set_num_threads(threads)
    done = run_pass(model, sample, TASK, tmp_path / "two", workers=2)
    assert len(done.shards.members) > 10
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_a_killed_worker_is_said_and_the_pass_goes_on(
    saved, sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(saved)
    place = tmp_path / "p"

    def kill(processes: list[subprocess.Popen]) -> None:
        if len(list(place.glob("0*.json"))) >= 2:
            processes[0].kill()

    with monkeypatch.context() as patch:
        processes = spied(patch, kill)
        with pytest.raises(CaptureError, match=r"died with signal 9 \(for lack of memory.*resume"):
            run_pass(model, sample, TASK, place, workers=1)
    assert [process.poll() for process in processes] == [-signal.SIGKILL]
    finished = len(list(place.glob("0*.json")))
    run_pass(model, sample, TASK, place)  # with the one thread that the pass began with
    assert 2 <= finished < len(list(place.glob("0*.json")))
    whole = run_pass(model, sample, TASK, tmp_path / "whole").shards.folder
    for path in whole.glob("0*"):
        assert path.read_bytes() == (place / path.name).read_bytes()


def test_stopping_the_parent_stops_the_workers(
    saved, sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(processes: list[subprocess.Popen]) -> None:
        raise KeyboardInterrupt

    processes = spied(monkeypatch, stop)
    with pytest.raises(KeyboardInterrupt):
        run_pass(load_model(saved), sample, TASK, tmp_path / "p", workers=1)
    assert [process.poll() for process in processes] == [-signal.SIGTERM]


def test_errors_of_workers_are_raised_here(saved, sample, tmp_path: Path) -> None:
    model = load_model(saved)
    with torch.no_grad():
        model.module.encoder.layer[0].output.dense.bias += 1
    with pytest.raises(CaptureError, match="other weights than the model given"):
        run_pass(model, sample, TASK, tmp_path / "p", workers=1)
