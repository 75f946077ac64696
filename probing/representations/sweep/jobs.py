"""The jobs of a sweep: each computes one piece from the states of one source."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from tqdm.auto import tqdm

from ..states import States
from .pieces import Arrays, Pieces
from .sources import Source


@dataclass(frozen=True)
class Job:
    """What is computed from the states of the training and of the evaluation part."""

    name: str
    """Of the piece: no other job of the sweep has it."""
    source: Source
    layer: int
    compute: Callable[[States, States], Arrays]


def run_jobs(jobs: Sequence[Job], pieces: Pieces) -> dict[str, Arrays]:
    """The arrays of every job by its name; what is not finished is computed, with a progress bar.

    The states of one source are held at a time, and of those that are read from disk one layer; a
    source whose pieces are all finished is not read.
    """
    found: dict[str, Arrays] = {}
    held = _Held()
    # Two readings have sources of one name: each is a source of its own.
    first = {id(job.source): place for place, job in reversed([*enumerate(jobs)])}
    ordered = sorted(jobs, key=lambda job: (job.source.name != "model", job.source.name,
                                            job.source.number, first[id(job.source)],
                                            job.layer))  # fmt: skip
    with tqdm(ordered, desc="probes", unit="fit", dynamic_ncols=True) as bar:
        for job in bar:
            arrays = pieces.read(job.name)
            if arrays is None:
                arrays = job.compute(*held.states(job.source))
                pieces.keep(job.name, arrays)
            found[job.name] = arrays
    return found


class _Held:
    """The states of the source that was asked for last."""

    def __init__(self) -> None:
        self._source: Source | None = None
        self._states: tuple[States, ...] = ()

    def states(self, source: Source) -> tuple[States, ...]:
        if source is not self._source:
            self._states = ()  # Before the next ones are read: there need not be room for both.
            # Several jobs in a row read the same layer.
            self._states = tuple(
                replace(part, read=lru_cache(maxsize=1)(part.read)) for part in source.read()
            )
            self._source = source
        return self._states
