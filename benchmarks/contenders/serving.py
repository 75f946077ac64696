"""A contender as a process of its own: it loads, says so, and runs its job when asked.

Asked and answered in lines of JSON. Needs torch alone.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Result:
    """What a job found; arrays in the order of the texts."""

    statistics: np.ndarray | None = None
    """(text, layer, head, statistic); None for the bare forward pass."""
    predictions: list[np.ndarray] | None = None
    """Per text (layer, head, direction, word)."""
    reading: float = 0.0
    """Seconds it takes to tokenize the texts, where the job measured it."""
    taken_off: float = 0.0
    """Seconds of the job that went into tokenizing, which the others do not do."""


Settings = dict[str, Any]
Job = Callable[[], Result]


def serve(load: Callable[[Settings], Job], packages: tuple[str, ...]) -> None:
    """Load the job that the settings file (first argument) describes, then run it as asked."""
    settings = json.loads(Path(sys.argv[1]).read_text())
    # Answers go to the real standard output; whatever a library prints goes to the log.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    if settings["device"] == "cpu":
        limit = int(settings["memory"] * 2**30)
        # An allocation beyond it fails here, instead of the kernel choosing a process to kill.
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    if settings["threads"]:
        torch.set_num_threads(settings["threads"])
    job = load(settings)
    ready = {
        "versions": {name: version(name) for name in packages},
        "threads": torch.get_num_threads(),
        "loaded": peak_memory(settings["device"]),
    }
    print(json.dumps(ready), file=answers)
    for line in sys.stdin:
        answer = _timed(job, settings["device"], json.loads(line).get("save"))
        print(json.dumps(answer), file=answers)


def peak_memory(device: str) -> float:
    """GiB: of the device where there is one, else of this process."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _timed(job: Job, device: str, save: str | None) -> dict[str, float]:
    _wait_for(device)
    started, worked = time.perf_counter(), time.process_time()
    result = job()
    _wait_for(device)
    seconds = time.perf_counter() - started
    answer = {
        "seconds": seconds - result.taken_off,
        "processor": time.process_time() - worked,
        "reading": result.reading,
        "peak": peak_memory(device),
    }
    if save and result.statistics is not None:
        np.savez(save, statistics=result.statistics, predictions=_joined(result.predictions))
    return answer


def _wait_for(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _joined(predictions: list[np.ndarray] | None) -> np.ndarray:
    """All predictions of a text after those of the one before, flat."""
    if not predictions:
        return np.zeros(0, dtype=np.int16)
    return np.concatenate([one.astype(np.int16).ravel() for one in predictions])
