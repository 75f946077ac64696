"""Sensitivity: how far a method's scores move when the word embeddings move a little."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ...capture import Batch
from ...errors import AttributionError
from ..embeddings import word_embeddings
from ..goals import Goal, measure
from ..means import mean_over_units
from ..running import stream_with
from ..targets import Prepared
from ..words import items_of

RADIUS, DRAWS = 0.02, 10
METRICS = ("sensitivity_max", "sensitivity_max_relative")
#: (model, encodings, goals, *, seed) to one score per token of each text.
Method = Callable[..., Sequence[np.ndarray]]


def sensitivity(
    model: Any,
    prepared: Prepared,
    methods: Mapping[str, Method],
    units: Sequence[int],
    *,
    seed: int,
    unit: str = "word",
    radius: float = RADIUS,
    draws: int = DRAWS,
) -> pd.DataFrame:
    """max ‖φ(x + δ) − φ(x)‖₂ over draws of δ with |δ| ≤ radius in every element (Yeh et al. 2019,
    definition 3.1), of methods rather than of scores; low is good if a method is also faithful.

    - `sensitivity_max`: as in the paper, in units of the target;
    - `sensitivity_max_relative`: divided by ‖φ(x)‖₂, as captum's `sensitivity_max` does; texts
      whose scores are all 0 are left out.

    δ is uniform and drawn for each entry of the vocabulary, so that words that come twice in a
    text move alike. Captum draws for each place, which methods that take words away do not keep.

    Args:
        methods: by name; each is run draws + 1 times on all texts, with the same seed.
        unit: whose scores φ has, `word` or `token`.

    Returns:
        `score,metric,operator,mean,ci_low,ci_high,n,descriptive`, with `noise` as the operator.

    Raises:
        AttributionError: no method, no draw, a radius that is not positive, an unknown unit.
    """
    if not methods or draws < 1 or radius <= 0:
        raise AttributionError(
            f"There are {len(methods)} methods, {draws} draws and a radius of {radius}; give at "
            "least one method, one draw, and a radius above 0."
        )
    rows: list[tuple[Any, ...]] = []
    moved = np.zeros((len(methods), len(prepared.goals)))
    intact = [_scores(model, prepared, method, prepared.goals, unit, seed)
              for method in methods.values()]  # fmt: skip
    for draw in range(draws):
        with noisy_embeddings(model, prepared, radius, [seed, draw]):
            goals = with_values(model, prepared)
            for place, method in enumerate(methods.values()):
                found = _scores(model, prepared, method, goals, unit, seed)
                distances = _norms([b - a for a, b in zip(intact[place], found, strict=True)])
                moved[place] = np.maximum(moved[place], distances)
    for place, name in enumerate(methods):
        sizes = _norms(intact[place])
        relative = np.divide(moved[place], sizes, out=np.full(len(sizes), np.nan), where=sizes > 0)
        for metric, values in zip(METRICS, (moved[place], relative), strict=True):
            means = mean_over_units(values, units, seed)
            rows.append((name, metric, "noise", float(means.mean), float(means.low),
                         float(means.high), int(means.n), bool(means.descriptive)))  # fmt: skip
    columns = "score,metric,operator,mean,ci_low,ci_high,n,descriptive"
    return pd.DataFrame(rows, columns=columns.split(","))


@contextmanager
def noisy_embeddings(
    model: Any, prepared: Prepared, radius: float, stream: Sequence[int]
) -> Iterator[None]:
    """Inside the block every word of the texts has another embedding, by up to the radius."""
    module = word_embeddings(model.module)
    ids = np.unique(np.concatenate([encoding.ids for encoding in prepared.encodings]))
    entries = torch.from_numpy(ids).to(model.device)

    def add(part: Any, arguments: tuple[Tensor, ...], output: Tensor) -> Tensor:
        given = arguments[0]
        places = torch.searchsorted(entries, given).clamp(max=len(entries) - 1)
        known = (entries[places] == given).unsqueeze(-1)
        drawn = np.random.default_rng(stream).uniform(-radius, radius, (len(ids), output.shape[-1]))
        noise = torch.from_numpy(drawn).to(output)
        return output + torch.where(known, noise[places], 0.0)

    handle = module.register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()


def with_values(model: Any, prepared: Prepared) -> list[Goal]:
    """The goals with what is measured on the intact texts as the model is now."""

    def run(batch: Batch, goals: list[Goal]) -> list[float]:
        with torch.no_grad():
            return measure(model, batch, goals).tolist()

    values = stream_with(model, prepared.encodings, prepared.goals, run, description="targets")
    return [replace(goal, value=value) for goal, value in zip(prepared.goals, values, strict=True)]


def _scores(
    model: Any, prepared: Prepared, method: Method, goals: Sequence[Goal], unit: str, seed: int
) -> list[np.ndarray]:
    """(item,) of each text."""
    scores = method(model, prepared.encodings, goals, seed=seed)
    return [
        items_of(encoding, goal, unit).sums(score)
        for encoding, goal, score in zip(prepared.encodings, goals, scores, strict=True)
    ]


def _norms(vectors: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([np.linalg.norm(vector) for vector in vectors])
