"""What an ablation study runs on: encoded examples, what is measured on each, and their units."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..attribution.goals import Function
from ..attribution.naming import function_name
from ..attribution.targets import Goal, prepare
from ..corpora import Encoding, Example, Examples
from ..corpora.text import units_of
from ..models import provenance
from ..results import Provenance


@dataclass(frozen=True)
class Setting:
    """The examples the model can read, in the order given: one entry of each list per example."""

    encodings: list[Encoding]
    goals: list[Goal]
    examples: list[Example]
    units: np.ndarray
    """(example,), index of the document or sentence that is resampled."""
    provenance: Provenance

    @property
    def ids(self) -> np.ndarray:
        return np.array([example.id for example in self.examples])


def settle(
    model: Any,
    examples: Examples,
    *,
    target: str | Function | None,
    foil: str | None,
    seed: int,
    options: dict[str, Any],
) -> Setting:
    """Encode the examples and decide what is measured on each.

    Raises:
        AttributionError: the target does not suit the model, or no example can be used.
    """
    prepared = prepare(model, examples.examples, target=target, foil=foil, seed=seed)
    kept = [examples.examples[index] for index in prepared.kept]
    sentences = [example.sentence for example in kept]
    record = provenance(
        model, examples, seed=seed, skipped=prepared.skipped, target=function_name(target),
        foil=foil, **options,
    )  # fmt: skip
    units = np.array(units_of(sentences, examples.unit))
    return Setting(prepared.encodings, prepared.goals, kept, units, record)


def sums_of_units(values: np.ndarray, units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum of the values of each unit that has any, and how many it has.

    Args:
        values: (example, …).
        units: (example,).

    Returns:
        (unit, …) and (unit,).
    """
    present, place = np.unique(units, return_inverse=True)
    sums = np.zeros((len(present), *values.shape[1:]))
    np.add.at(sums, place, values)
    return sums, np.bincount(place)
