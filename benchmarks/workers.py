"""Contenders as processes: started, asked in turn, and what went wrong if they died."""

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CONTENDERS = Path(__file__).parent / "contenders"
#: What a log says when memory could not be had.
NO_MEMORY = ("can't allocate memory", "MemoryError", "OutOfMemoryError", "std::bad_alloc")

Settings = dict[str, Any]


@dataclass
class Worker:
    """A contender in a process of its own."""

    name: str
    process: subprocess.Popen[str]
    log: Path
    ready: dict[str, Any] = field(default_factory=dict)
    cannot: str | None = None
    """Why it does not run, or no longer."""
    answers: list[dict[str, float]] = field(default_factory=list)
    """What it measured, one for each round."""
    agreement: str = ""
    result: Path | None = None

    def ask(self, question: dict[str, Any]) -> dict[str, Any] | None:
        """Send a question and wait for the answer; None if the process has ended."""
        if self.cannot is not None:
            return None
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("a worker is started with pipes")
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> dict[str, Any] | None:
        if self.process.stdout is None:
            raise RuntimeError("a worker is started with pipes")
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        self.cannot = self._reason()
        return None

    def stop(self) -> None:
        """Let the process end, and wait until it has: its memory is needed by the next."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _reason(self) -> str:
        code = self.process.wait()
        text = self.log.read_text(errors="replace").strip()
        if code == -9 or any(sign in text[-4000:] for sign in NO_MEMORY):
            return "out of memory"
        last = text.splitlines()[-1] if text else f"it ended with code {code}"
        return last[:200]


def start(name: str, python: Path, script: str, settings: Settings, folder: Path) -> Worker:
    """Start a contender and wait until it has loaded."""
    settings = {**settings, "contender": name}
    stem = tempfile.mkdtemp(prefix=f"{name}-".replace(" ", "-"), dir=folder)
    file, log = Path(stem, "settings.json"), Path(stem, "log.txt")
    file.write_text(json.dumps(settings))
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(python), str(CONTENDERS / script), str(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )
    worker = Worker(name, process, log, result=Path(stem, "result.npz"))
    worker.ready = worker.answer() or {}
    return worker


def absent(name: str, reason: str) -> dict[str, Any]:
    """The row of a contender that was not started."""
    return {"contender": name, "cannot": reason}


def prepare(python: Path, settings: Settings, folder: Path) -> dict[str, Any]:
    """Write the batches of a job, in a process of its own: this one has to stay small.

    A process starts with the peak memory of the one that started it on its account.
    """
    file = folder / "prepare.json"
    file.write_text(json.dumps(settings))
    done = subprocess.run(
        [str(python), str(CONTENDERS / "prepare.py"), str(file)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])
