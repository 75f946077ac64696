"""Texts with some of their tokens taken away, measured in batches."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..capture import Batch
from ..corpora import Encoding
from .goals import Goal
from .running import stream_with

#: Erased texts are made in rounds of about this many tokens, so that memory does not grow with
#: the data.
ROUND = 1_000_000

Erase = Callable[[Encoding, Goal, np.ndarray], tuple[Encoding, Goal]]
Measured = Callable[[Any, Batch, Sequence[Goal]], Tensor]


def delete(encoding: Encoding, goal: Goal, removed: np.ndarray) -> tuple[Encoding, Goal]:
    """The text without the tokens marked in `removed` (token,), everything else as it was.

    The goal follows: a next token is predicted from the last token that is left. The rows of
    the goal are cut, not normalised again: an erased text is measured, its attention not read.
    """
    kept = ~removed
    shorter = replace(
        encoding,
        ids=encoding.ids[kept],
        segments=encoding.segments[kept],
        words=encoding.words[kept],
        added=encoding.added[kept],
        cls=encoding.cls[kept],
        sep=encoding.sep[kept],
        punctuation=encoding.punctuation[kept],
        tokens=tuple(t for t, keep in zip(encoding.tokens, kept, strict=True) if keep),
    )
    position = goal.position
    if position is not None:
        position = int(kept[: position + 1].sum()) - 1
    return shorter, replace(goal, position=position, rows=goal.rows[kept], scored=goal.scored[kept])


def substitute(token: int) -> Erase:
    """An operator that puts the token of this id in the place of each one removed."""

    def erase(encoding: Encoding, goal: Goal, removed: np.ndarray) -> tuple[Encoding, Goal]:
        return replace(encoding, ids=np.where(removed, token, encoding.ids)), goal

    return erase


def outcomes(
    model: Any,
    encodings: Sequence[Encoding],
    goals: Sequence[Goal],
    removals: Sequence[Sequence[np.ndarray]],
    erase: Erase,
    measured: Measured,
    *,
    description: str,
) -> list[np.ndarray]:
    """What is measured after each erasure.

    Args:
        removals: for each text, the (token,) masks of what to erase; equal masks run once.

    Returns:
        For each text, shape (erasure,).
    """
    results: list[np.ndarray] = []
    for part in _rounds(encodings, removals):
        erased: list[tuple[Encoding, Goal]] = []
        places: list[list[int]] = []
        for number in part:
            seen: dict[bytes, int] = {}
            own = []
            for removed in removals[number]:
                if (key := removed.tobytes()) not in seen:
                    seen[key] = len(erased)
                    erased.append(erase(encodings[number], goals[number], removed))
                own.append(seen[key])
            places.append(own)
        values = np.array(_values(model, erased, measured, description))
        results += [values[own] for own in places]
    return results


def _values(
    model: Any, erased: list[tuple[Encoding, Goal]], measured: Measured, description: str
) -> list[float]:
    def run(batch: Batch, goals: list[Goal]) -> list[float]:
        with torch.no_grad():
            return measured(model, batch, goals).tolist()

    encodings, goals = [encoding for encoding, _ in erased], [goal for _, goal in erased]
    return stream_with(model, encodings, goals, run, description=description)


def _rounds(
    encodings: Sequence[Encoding], removals: Sequence[Sequence[np.ndarray]]
) -> Iterator[list[int]]:
    part: list[int] = []
    size = 0
    for number, (encoding, masks) in enumerate(zip(encodings, removals, strict=True)):
        part.append(number)
        size += len(encoding) * len(masks)
        if size >= ROUND:
            yield part
            part, size = [], 0
    if part:
        yield part
