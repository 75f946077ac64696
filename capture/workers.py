"""Worker processes: each loads the model itself and does whole shards, one at a time.

A worker is a fresh interpreter with one connection to its parent. It runs in a session of its own,
so that Ctrl-C reaches the parent alone, which then stops it; and it ends when the connection does,
so that none outlives a killed parent by more than a batch.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch

from ..errors import BertologyError, CaptureError
from ..models import LoadedModel, load_model
from .identity import parameters_sha256
from .tasks import Order, Task, do_shard

_CODE = "from bertology.capture.workers import serve; serve({handle})"


@dataclass(frozen=True)
class _Setup:
    """What a worker is told before its first order."""

    load: dict[str, Any]
    """How to load the model."""
    parameters_sha256: str
    task: Task
    folder: Path
    threads: int


@dataclass(frozen=True)
class _Worker:
    process: subprocess.Popen[bytes]
    connection: Connection


@dataclass(frozen=True)
class _Read:
    """Answer of a worker: so many more texts are read."""

    texts: int


@dataclass(frozen=True)
class _Idle:
    """Answer of a worker: give me an order."""


def share_out(
    model: LoadedModel,
    task: Task,
    folder: Path,
    orders: Iterator[Order],
    count: int,
    identity: dict[str, Any],
    advance: Callable[[int], None],
) -> None:
    """Have `count` worker processes do the orders; returns when all are done.

    Raises:
        CaptureError: a worker died, or cannot load the model.
        OutputError: a shard cannot be written.
    """
    setup = _Setup(
        _loading(model), identity["model"]["parameters_sha256"], task, folder.absolute(),
        identity["threads"],
    )  # fmt: skip
    crew: list[_Worker] = []
    try:
        crew += (_started(setup) for _ in range(count))
        busy = {worker.connection: worker for worker in crew}
        while busy:
            for connection in wait(list(busy)):
                if not isinstance(connection, Connection):
                    continue
                answer = _answer(busy[connection])
                if isinstance(answer, _Read):
                    advance(answer.texts)
                elif isinstance(answer, BertologyError):
                    raise answer
                elif (order := next(orders, None)) is not None:
                    connection.send(order)
                else:
                    connection.send(None)
                    del busy[connection]
        for worker in crew:
            worker.process.wait()
    finally:
        for worker in crew:
            worker.connection.close()
            worker.process.terminate()
            worker.process.wait()


def _started(setup: _Setup) -> _Worker:
    ours, theirs = Pipe()
    with theirs:
        handle = theirs.fileno()
        process = subprocess.Popen(
            [sys.executable, "-c", _CODE.format(handle=handle)],
            pass_fds=[handle],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    with suppress(BrokenPipeError):  # It died at once: the first answer will say so.
        ours.send(setup)
    return _Worker(process, ours)


def _answer(worker: _Worker) -> Any:
    try:
        return worker.connection.recv()
    except (EOFError, ConnectionResetError):
        status = worker.process.wait()
        ending = f"signal {-status}" if status < 0 else f"exit status {status}"
        hint = " (for lack of memory, perhaps: try fewer workers)" if status == -9 else ""
        raise CaptureError(
            f"The worker process {worker.process.pid} died with {ending}{hint}. Finished shards "
            "are kept: run the same command with --resume to go on."
        ) from None


def _loading(model: LoadedModel) -> dict[str, Any]:
    """The arguments of `load_model` that give this model again."""
    return {
        "name": model.name,
        "task": model.task,
        "revision": model.revision,
        "dtype": next(model.module.parameters()).dtype,
        "device": str(model.device),
        "gguf_file": model.gguf_file,
        "adapter": model.adapter,
        # Code that came with the checkpoint runs in a module of this name, and runs already.
        "trust_remote_code": type(model.module).__module__.startswith("transformers_modules"),
    }


def serve(handle: int) -> None:
    """What a worker process does: load the model, then shard after shard until told to stop."""
    # Where the connection ends, the parent is gone or wants no more.
    gone = suppress(EOFError, BrokenPipeError, ConnectionResetError)
    with gone, Connection(handle) as connection:
        try:
            _work(connection)
        except BertologyError as error:
            connection.send(error)


def _work(connection: Connection) -> None:
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    setup: _Setup = connection.recv()
    torch.set_num_threads(setup.threads)
    model = load_model(**setup.load)
    if parameters_sha256(model.module) != setup.parameters_sha256:
        raise CaptureError(
            f"A worker loaded {model.name!r} and got other weights than the model given, which was "
            "changed after it was loaded; save it and load it from its folder, or leave out "
            "workers."
        )
    connection.send(_Idle())
    while (order := connection.recv()) is not None:
        do_shard(
            model, setup.task, setup.folder, order, lambda texts: connection.send(_Read(texts))
        )
        connection.send(_Idle())
