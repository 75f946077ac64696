"""A run of the command that is killed goes on, and its tables have the bytes of a whole run."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bertology.capture import passes
from bertology.studies.cli import app

TABLES = ("heads.csv", "relations.csv", "best_heads.csv")
#: The command, with shards so small that a short corpus has several.
SMALL = (
    "from bertology.capture import passes; passes.SHARD_TOKENS = {tokens}; "
    "from bertology.studies.cli import main; main()"
)


def command(corpus: Path, out: Path, *more: str) -> list[str]:
    return ["heads", "demo", "--corpus", str(corpus), "--out", str(out), *more]


def killed(call: list[str], now: Callable[[], bool]) -> bool:
    """Start a command and kill -9 it as soon as `now` says so; False if it ended before."""
    process = subprocess.Popen(
        call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    while process.poll() is None:
        if now():
            os.killpg(process.pid, signal.SIGKILL)
            break
        time.sleep(0.01)
    return process.wait() == -signal.SIGKILL


def tables(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in TABLES}


def shards(folder: Path) -> int:
    return len(list(folder.glob("shards/heads/0*.json")))


def test_a_killed_run_goes_on(sample_file, tmp_path: Path, monkeypatch) -> None:
    tokens = 300
    call = [
        sys.executable,
        "-c",
        SMALL.format(tokens=tokens),
        *command(sample_file, tmp_path / "k"),
    ]
    assert killed(call, lambda: shards(tmp_path / "k") >= 2)
    assert not (tmp_path / "k" / "heads.csv").exists()
    finished = shards(tmp_path / "k")
    monkeypatch.setattr(passes, "SHARD_TOKENS", tokens)
    done = []
    real = passes.do_shard
    monkeypatch.setattr(passes, "do_shard", lambda *a: done.append(a[3].number) or real(*a))
    runner = CliRunner()
    refused = runner.invoke(app, command(sample_file, tmp_path / "k"))
    assert refused.exit_code == 1 and "holds an unfinished run" in refused.stderr
    resumed = runner.invoke(app, command(sample_file, tmp_path / "k", "--resume"))
    assert resumed.exit_code == 0, resumed.output
    left = list(done)
    done.clear()
    whole = runner.invoke(app, command(sample_file, tmp_path / "w"))
    assert whole.exit_code == 0, whole.output
    assert 0 < len(left) <= len(done) - finished
    assert tables(tmp_path / "k") == tables(tmp_path / "w")
    assert not (tmp_path / "k" / "shards").exists()


@pytest.fixture(scope="module")
def sample_file(tmp_path_factory) -> Path:
    """The first sentences of the sample treebank as a file."""
    from importlib.resources import files

    text = files("bertology.corpora").joinpath("sample.conllu").read_text(encoding="utf-8")
    path = tmp_path_factory.mktemp("corpus") / "c.conllu"
    path.write_text("\n\n".join(text.split("\n\n")[:80]) + "\n\n", encoding="utf-8")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("workers", [(), ("--workers", "2")])
def test_killed_at_random_moments(shared_file, tmp_path: Path, workers: tuple[str, ...]) -> None:
    corpus = shared_file("ud/en_ewt-ud-dev.conllu")
    program = [sys.executable, "-m", "bertology"]
    generator = np.random.default_rng(0)
    times = started = 0
    # Until the run is through: a process that gets nowhere would be killed for ever.
    while times < 8:
        moment = time.monotonic() + generator.uniform(8, 25)
        resume = ("--resume",) if started else ()
        call = [*program, *command(corpus, tmp_path / "k", *workers, *resume)]
        if not killed(call, lambda moment=moment: time.monotonic() > moment):
            break
        started = (tmp_path / "k").exists()
        times += 1
    assert times >= 2, "the machine is too fast for the moments chosen"
    last = subprocess.run(
        [*program, *command(corpus, tmp_path / "k", "--resume")], capture_output=True, text=True
    )
    assert last.returncode == 0, last.stderr
    subprocess.run([*program, *command(corpus, tmp_path / "w", *workers)], check=True)
    assert tables(tmp_path / "k") == tables(tmp_path / "w")
