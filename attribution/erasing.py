"""Texts with some of their tokens taken away, measured in batches."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..capture import Batch
from ..corpora import Encoding
from ..errors import AttributionError
from .goals import Goal
from .running import stream_with

#: Erased texts are made in rounds of about this many tokens, so that memory does not grow with
#: the data.
ROUND = 1_000_000

Erase = Callable[[Encoding, Goal, np.ndarray], tuple[Encoding, Goal]]
Measured = Callable[[Any, Batch, Sequence[Goal]], Tensor]

#: The ways to take a word away, by name; see `operator_of`.
OPERATORS = ("delete", "mask", "pad", "hide")


@dataclass(frozen=True)
class Veiled(Encoding):
    """A text of which the model is not to see some tokens."""

    hidden: np.ndarray = field(kw_only=True)
    """(token,) bool: where the attention mask is 0."""


def operator_of(name: str, tokenizer: Any) -> Erase:
    """The operator of one of the `OPERATORS`.

    - `delete`: the tokens are taken out, and later ones move up;
    - `mask`, `pad`: the mask or padding token stands in their place and is seen. Models that
      find positions or the last token by the ids treat a padding token as absent;
    - `hide`: the attention mask is 0 there, so that nothing attends to them (see `hide`).

    Raises:
        AttributionError: an unknown name, or the tokenizer lacks the token.
    """
    if name not in OPERATORS:
        raise AttributionError(f"operator is {name!r}; give one of {', '.join(OPERATORS)}.")
    if name in ("delete", "hide"):
        return delete if name == "delete" else hide
    token = tokenizer.mask_token_id if name == "mask" else tokenizer.pad_token_id
    if token is None:
        others = ", ".join(other for other in OPERATORS if other != name)
        raise AttributionError(
            f"The tokenizer has no {name} token to put in a word's place; give another operator "
            f"({others})."
        )
    return substitute(token)


def reference_operator(tokenizer: Any) -> str:
    """What stands for several absent words unless told otherwise: `mask`, or `pad` where the
    tokenizer has no mask token."""
    return "pad" if tokenizer.mask_token_id is None else "mask"


def delete(encoding: Encoding, goal: Goal, removed: np.ndarray) -> tuple[Encoding, Goal]:
    """The text without the tokens marked in `removed` (token,), everything else as it was.

    The goal follows: a next token is predicted from the last token that is left. The rows of
    the goal are cut, not normalised again: an erased text is measured, its attention not read.

    Raises:
        AttributionError: nothing is left of the text, or nothing that its target is read from.
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
    if not kept.any() or position == -1:
        raise _refuse(encoding, removed)
    return shorter, replace(goal, position=position, rows=goal.rows[kept], scored=goal.scored[kept])


def substitute(token: int) -> Erase:
    """An operator that puts the token of this id in the place of each one removed."""

    def erase(encoding: Encoding, goal: Goal, removed: np.ndarray) -> tuple[Encoding, Goal]:
        return replace(encoding, ids=np.where(removed, token, encoding.ids)), goal

    return erase


def hide(encoding: Encoding, goal: Goal, removed: np.ndarray) -> tuple[Encoding, Goal]:
    """The whole text, with an attention mask of 0 at the tokens marked in `removed` (token,).

    No other token attends to them, and a mean over tokens leaves them out. The row that is read
    keeps the embedding of its own token, hidden or not.

    Raises:
        AttributionError: nothing is left to see.
    """
    if removed.all():
        raise _refuse(encoding, removed)
    own = {one.name: getattr(encoding, one.name) for one in fields(Encoding)}
    if goal.position is not None:
        # Positions count from the first token that is seen.
        goal = replace(goal, position=goal.position - int((~removed).argmax()))
    return Veiled(**own, hidden=removed), goal


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
            return measured(model, _veiled(batch), goals).tolist()

    encodings, goals = [encoding for encoding, _ in erased], [goal for _, goal in erased]
    return stream_with(model, encodings, goals, run, description=description)


def _refuse(encoding: Encoding, removed: np.ndarray) -> AttributionError:
    return AttributionError(
        f"Erasing {int(removed.sum())} of the {len(encoding)} tokens of "
        f"{encoding.sentence.text!r} leaves nothing to measure; use the operator `mask` or `pad`, "
        "which leave something in their place."
    )


def _veiled(batch: Batch) -> Batch:
    """The batch with what is hidden in its encodings taken out of the attention mask."""
    if not any(isinstance(encoding, Veiled) for encoding in batch.encodings):
        return batch
    mask = batch.mask.clone()
    for row, encoding in enumerate(batch.encodings):
        if isinstance(encoding, Veiled):
            own = mask[row].nonzero().squeeze(1)
            mask[row, own[torch.from_numpy(encoding.hidden).to(own.device)]] = 0
    return Batch(batch.encodings, {**batch.inputs, "attention_mask": mask})


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
