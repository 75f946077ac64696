"""Which importance is asked for, on which texts, and what it is over many of them."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...attribution.goals import Function
from ...attribution.targets import Goal
from ...corpora import Encoding, Example, Examples
from ...errors import AttributionError, BertologyError
from ...results import Provenance
from ..knockout import head_grid
from ..setting import settle, sums_of_units
from .gradients import positions_read
from .loss import loss_goal, refuse_lossless
from .methods import AGAINST, METHODS, Method


@dataclass(frozen=True)
class Criterion:
    """A measure of importance with its options.

    Raises:
        BertologyError: an unknown measure, or options that it does not take.
    """

    method: str = "example"
    against: str = "target"
    batch_size: int | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise BertologyError(
                f"The importance {self.method!r} does not exist; choose one of "
                f"{', '.join(METHODS)}."
            )
        if self.against not in AGAINST:
            raise BertologyError(f"against is {self.against!r}; choose {' or '.join(AGAINST)}.")
        if self.against == "loss" and not self.own.loss:
            takers = ", ".join(name for name, other in METHODS.items() if other.loss)
            raise BertologyError(
                f"The importance {self.method!r} is not a gradient of the loss; leave against "
                f"out, or choose one of {takers}."
            )
        given = self.batch_size is not None
        if self.own.batches != given or (self.batch_size is not None and self.batch_size < 1):
            raise BertologyError(
                f"batch_size is {self.batch_size!r} with the importance {self.method!r}; 'batch' "
                "needs it, at least 1, because the result depends on it, and no other importance "
                "takes it."
            )

    @property
    def own(self) -> Method:
        return METHODS[self.method]

    def __str__(self) -> str:
        return self.method if self.against == "target" else f"{self.method} of the loss"


@dataclass(frozen=True)
class Question:
    """A criterion and the texts it is asked of: one entry of each list per example."""

    criterion: Criterion
    encodings: list[Encoding]
    goals: list[Goal]
    examples: list[Example]
    units: np.ndarray
    """(example,), index of the document or sentence that is resampled."""
    provenance: Provenance

    @property
    def ids(self) -> np.ndarray:
        return np.array([example.id for example in self.examples])

    def values(self, model: Any, seed: int) -> np.ndarray:
        """What the measure gives: (example, layer, head), or (1, layer, head) of weights."""
        own, size = self.criterion.own, self.criterion.batch_size
        options = {"batch_size": size} if own.batches else {}
        return own.run(model, self.encodings, self.goals, seed=seed, **options)

    def sums(self, values: np.ndarray, units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Numerators and denominators of the mean, each (unit, layer, head) or (unit,)."""
        sums, counts = sums_of_units(values, units)
        if self.criterion.own.positions:
            read = positions_read(self.encodings, self.goals, values.shape[1])
            positions, _ = sums_of_units(read[..., None], units)
            counts = np.broadcast_to(positions, sums.shape)
        return sums, counts

    def means(self, values: np.ndarray) -> np.ndarray:
        """(layer, head): over examples, or over their positions."""
        if not self.criterion.own.texts:
            return values[0].astype(float)
        sums, counts = self.sums(values, np.zeros(len(values), dtype=int))
        return sums[0] / counts[0]


def ask(
    model: Any,
    examples: Examples,
    criterion: Criterion,
    *,
    target: str | Function | None,
    foil: str | None,
    seed: int,
) -> Question:
    """Encode the examples and decide what is differentiated on each.

    Raises:
        BertologyError: a target together with the loss.
        CaptureError: attention that cannot be reached.
        ModelError: a loss of a model that has none.
        CorpusError: a loss of a classifier without labels.
        AttributionError: the target does not suit the model, or no example can be used.
    """
    head_grid(model.module)
    if criterion.against == "loss":
        if target is not None or foil is not None:
            raise BertologyError(
                f"target={target!r}, foil={foil!r} were given with against='loss', which is the "
                "loss of the answer that the data give; leave them out."
            )
        refuse_lossless(model, examples.examples)
        target = "label" if len(model.labels) > 1 else None
    options = {
        "method": criterion.method,
        "against": criterion.against,
        "batch_size": criterion.batch_size,
    }
    setting = settle(model, examples, target=target, foil=foil, seed=seed, options=options)
    own = [example for example in setting.examples if isinstance(example, Example)]
    asked = Question(
        criterion, setting.encodings, setting.goals, own, setting.units, setting.provenance
    )
    return _with_losses(model, asked) if criterion.against == "loss" else asked


def _with_losses(model: Any, asked: Question) -> Question:
    """The question with loss goals, without the examples whose answer is not known."""
    rows = zip(asked.encodings, asked.goals, asked.examples, strict=True)
    found = [loss_goal(model, *row) for row in rows]
    lost = [
        [example.id, goal]
        for example, goal in zip(asked.examples, found, strict=True)
        if isinstance(goal, str)
    ]
    kept = [number for number, goal in enumerate(found) if not isinstance(goal, str)]
    if not kept:
        raise AttributionError(
            f"None of the {len(found)} examples has a loss: of {lost[0][0]!r}, {lost[0][1]}. Give "
            "examples whose answer is known, or take the target (against='target')."
        )
    skipped = [*asked.provenance.skipped, *lost]
    return replace(
        asked,
        encodings=[asked.encodings[number] for number in kept],
        goals=[goal for goal in found if not isinstance(goal, str)],
        examples=[asked.examples[number] for number in kept],
        units=asked.units[kept],
        provenance=replace(asked.provenance, skipped=skipped, sentences=len(kept)),
    )
