"""Pruning curves: what a model can do as its heads are removed one after another."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...attribution.goals import Function
from ...corpora import Examples
from ...errors import BertologyError
from ...results import Result
from ..importance import Criterion, Question, ask, refuse_lossless
from ..instruments import default_metrics, instruments_for
from ..knockout import head_grid
from ..metrics import Scoring
from ..parts import Head
from ..scoring import score
from ..setting import settle
from .order import Ranking, head_counts, random_scores, removal
from .ranking import ranking
from .table import (
    RANDOM,
    REVERSED,
    Points,
    Removal,
    curve_table,
    parts_of,
    removal_table,
)

#: What may stand in for heads that are gone.
MODES = ("zero", "mean")
#: A band of percentiles needs as many random orders.
MIN_DRAWS = 10


@dataclass(frozen=True, repr=False)
class PruningCurve(Result):
    """A metric as heads are removed, lowest importance first.

    `table` has one row per order, number of heads removed and metric, beginning with none:
    `value` with its 95 % interval over units, and `delta` = value − that of the intact model,
    paired, with its own. `order` is the importance; `reversed`, the first importance from its
    highest down, for which the metric should fall at once; or `random`, the mean over random
    orders, where the intervals are the 2.5 and 97.5 percentiles of the orders. Heads are ranked
    on one half of the units, and the model is scored on the other; `n` counts the examples
    scored.
    """

    removals: pd.DataFrame
    """`order,draw,rank,layer,head`: which head went when, from rank 0; random orders are
    numbered by `draw`."""


#: A measure of importance, by name or with its options.
Order = str | Criterion


def pruning_curve(
    model: Any,
    examples: Examples,
    *,
    order: Order | Sequence[Order] = "example",
    normalised: bool = False,
    rescore: bool = False,
    at_least_one: bool = False,
    metrics: Sequence[str | Scoring] | None = None,
    mode: str = "zero",
    step: float = 0.1,
    threshold: float | None = None,
    draws: int = 20,
    target: str | Function | None = None,
    foil: str | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
) -> PruningCurve:
    """Remove heads cumulatively, the least important first (Michel et al. 2019, section 4).

    The units are split into two halves at random: heads are ranked on the one, and the curves
    are scored on the other, so that no order profits from the noise it was chosen by. Random
    orders are the null, the reversed order is the positive control.

    Args:
        order: one importance or several: its name, see `importance`, or a `Criterion`.
        normalised: whether importance is divided by the ℓ2 norm of its layer first.
        rescore: whether importance is measured anew after each step, without the heads that are
            gone (default, as in the paper: once).
        at_least_one: whether every layer keeps a head; the curve then ends there.
        metrics: see `ablate`.
        mode: what stands in for heads that are gone: `zero`, or their `mean` output on other data
            than is scored.
        step: share of all heads that goes at a time, at least one head.
        threshold: ends a curve at its first point where the first metric is below this share of
            its value on the intact model (of a loss: above that value divided by this share).
            Where to end is thus chosen on the data that are scored.
        draws: random orders.
        target: see `bertology.attribution.prepare`; of gradients of the target, and of the metric
            of this name. So `foil`.
        folder: where finished batches are kept, so that a run that was stopped goes on.

    Raises:
        BertologyError: an unknown importance or mode, or a step, threshold or number of draws out
            of range.
        CorpusError: too few units to split, a metric that does not fit, or no labels for a loss.
        CaptureError: attention that cannot be reached, or layers that differ in their heads.
        AttributionError: the target does not suit the model, or no example can be used.
    """
    criteria = _criteria(order)
    _refuse_options(mode, step, threshold, draws)
    layers, heads = head_grid(model.module)
    counts = tuple(head_counts(layers, heads, step, at_least_one=at_least_one))
    chosen = tuple(metrics) if metrics else default_metrics(model, examples)
    instruments_for(model, examples, chosen)
    if any(one.against == "loss" for one in criteria):
        refuse_lossless(model, examples.examples)
    ranked_on, scored_on = examples.halves(seed)
    questions = [_question(model, ranked_on, one, target, foil, seed) for one in criteria]
    setting = settle(
        model, scored_on, metrics=chosen, target=target, foil=foil, seed=seed,
        options={
            "order": [str(one) for one in criteria], "normalised": normalised, "rescore": rescore,
            "at_least_one": at_least_one, "mode": mode, "step": step, "threshold": threshold,
            "draws": draws, "ranked_on": questions[0].ids.tolist(),
        },
    )  # fmt: skip
    ranks = {
        str(question.criterion): ranking(
            model, question, in_layer=normalised, rescore=rescore, mode=mode, seed=seed
        )
        for question in questions
    }
    removals = [
        Removal(name, draw, tuple(removal(rank, counts, at_least_one=at_least_one)), counts)
        for name, draw, rank in _orders(ranks, (layers, heads), draws, seed)
    ]
    parts = parts_of(removals)
    scores = score(model, setting, list(parts.values()), modes=(mode,), seed=seed, folder=folder)
    points = [
        Points.of(metric, scores, mode, list(parts), setting.units, seed)
        for metric in setting.metrics
    ]
    table = curve_table(points, removals, layers * heads, threshold)
    return PruningCurve(table, setting.provenance, removal_table(removals))


def _criteria(order: Order | Sequence[Order]) -> list[Criterion]:
    given = [order] if isinstance(order, str | Criterion) else list(order)
    found = [one if isinstance(one, Criterion) else Criterion(one) for one in given]
    if not found or len({str(one) for one in found}) < len(found):
        raise BertologyError(
            f"The orders {[str(one) for one in found]} were given; name at least one importance, "
            "and none twice."
        )
    return found


def _refuse_options(mode: str, step: float, threshold: float | None, draws: int) -> None:
    if mode not in MODES:
        raise BertologyError(f"The mode {mode!r} was given; choose {' or '.join(MODES)}.")
    if not 0 < step <= 1:
        raise BertologyError(
            f"step is {step!r}; give the share of heads per step, above 0, up to 1."
        )
    if threshold is not None and not 0 < threshold < 1:
        raise BertologyError(
            f"threshold is {threshold!r}; give a share of the metric on the intact model, between "
            "0 and 1 (0.9: the curve ends where a tenth is lost)."
        )
    if draws < MIN_DRAWS:
        raise BertologyError(
            f"draws is {draws!r}; the band of the random orders needs at least {MIN_DRAWS}."
        )


def _question(
    model: Any,
    examples: Examples,
    criterion: Criterion,
    target: str | Function | None,
    foil: str | None,
    seed: int,
) -> Question:
    if criterion.against == "loss":
        return ask(model, examples, criterion, target=None, foil=None, seed=seed)
    return ask(model, examples, criterion, target=target, foil=foil, seed=seed)


def _orders(
    ranks: dict[str, Ranking], shape: tuple[int, int], draws: int, seed: int
) -> Iterator[tuple[str, int, Ranking]]:
    """Name, draw and ranking: the importances, the first of them reversed, and random ones."""
    for name, rank in ranks.items():
        yield name, 0, rank
    yield REVERSED, 0, partial(_reversed, next(iter(ranks.values())))
    for draw in range(draws):
        yield RANDOM, draw, partial(_fixed, random_scores(shape, seed, draw))


def _reversed(rank: Ranking, gone: Sequence[Head]) -> np.ndarray:
    return -rank(gone)


def _fixed(scores: np.ndarray, gone: Sequence[Head]) -> np.ndarray:
    return scores
