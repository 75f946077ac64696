"""Does the slope at the intact model foretell what removing a head does?

To first order, taking the gate of a head from 1 to 0 changes a score by −∂score/∂ξ: importance is
the size of this prediction (Michel et al. 2019, section 4.1). Here it keeps its sign and is held
against the change that was measured.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from ...attribution.goals import Function
from ...corpora import Examples
from ...errors import ModelError
from ...results import Result
from ...stats import bootstrap_of, bootstrap_ratio, is_descriptive
from ..parts import every_head
from ..scoring import score
from ..setting import settle, sums_of_units
from .gradients import signed_gradients
from .question import Criterion, ask

STATISTICS = ("pearson", "spearman", "kendall")
#: `signed`: mean prediction and mean effect; `absolute`: the means of their sizes.
COMPARED = ("signed", "absolute")
#: Draws whose pairs of heads are compared at once.
_BLOCK = 100


@dataclass(frozen=True, repr=False)
class FirstOrder(Result):
    """What the gradients foretell of removing each head, and what removing it did.

    `table` has one row per comparison and statistic: `compared` (`signed`, mean changes;
    `absolute`, means of their sizes), `statistic` (`pearson`, `spearman`, `kendall`) over the
    `heads`, its `value` with a 95 % interval over units, `n` examples.
    """

    heads: pd.DataFrame
    """`layer,head,predicted,predicted_low,predicted_high,measured,measured_low,measured_high,n`:
    mean changes of the score, with 95 % intervals over units."""
    ids: np.ndarray
    """(example,)"""
    predicted: np.ndarray
    """(example, layer, head), −∂score/∂ξ."""
    measured: np.ndarray
    """(example, layer, head), the score without the head minus that of the intact model."""


def first_order(
    model: Any,
    examples: Examples,
    *,
    against: str = "target",
    target: str | Function | None = None,
    foil: str | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
) -> FirstOrder:
    """Predict the effect of zero-ablating every head, and measure it, on the same examples.

    Args:
        against: the score: the `target`, or the `loss` (of a masked language model only the
            target).
        target: see `bertology.attribution.prepare`; so `foil`.
        folder: where finished batches are kept, so that a run that was stopped goes on.

    Raises:
        As `importance`.
    """
    if against == "loss" and model.task == "masked-lm":
        raise ModelError(
            f"{model.name} is a masked language model, whose loss is measured behind other masks "
            "than its gradient is taken at; take the target (against='target')."
        )
    question = ask(
        model, examples, Criterion("example", against), target=target, foil=foil, seed=seed
    )
    setting = settle(model, examples, metrics=(against,), target=target, foil=foil, seed=seed)
    parts = every_head(model.module)
    scores = score(model, setting, parts, modes=("zero",), seed=seed, folder=folder)
    predicted = -signed_gradients(model, question.encodings, question.goals)
    (base,), without = (
        _means(rows) for rows in (scores.base[against][None], scores.ablated["zero", against][:, 0])
    )
    place = {id(example): row for row, example in enumerate(setting.examples)}
    rows = [place[id(example)] for example in question.examples]
    measured = (without - base).T[rows].reshape(predicted.shape)
    return FirstOrder(
        table=agreement_table(predicted, measured, question.units, seed),
        provenance=question.provenance,
        heads=head_table(predicted, measured, question.units, seed),
        ids=question.ids,
        predicted=predicted,
        measured=measured,
    )


def _means(rows: np.ndarray) -> np.ndarray:
    """(…, example) of sums and counts (…, example, 2)."""
    return rows[..., 0] / rows[..., 1]


def agreement_table(
    predicted: np.ndarray, measured: np.ndarray, units: np.ndarray, seed: int
) -> pd.DataFrame:
    """How well predictions and effects of the heads go together, with intervals over units.

    Columns: compared, statistic, value, ci_low, ci_high, heads, n (examples), descriptive. In
    each draw of units the means of all heads are taken anew.

    Args:
        predicted, measured: (example, layer, head), changes of one score.
        units: (example,).
    """
    rows = []
    for compared in COMPARED:
        pair = [predicted, measured] if compared == "signed" else [abs(predicted), abs(measured)]
        sums = [sums_of_units(each.reshape(len(each), -1), units) for each in pair]
        (first, counts), (second, _) = sums
        of_draws = partial(_correlations, first, second, counts)
        whole = of_draws(np.ones((1, len(counts))))[0]
        low, high = bootstrap_of(of_draws, len(counts), seed=seed)
        rows += [
            (compared, name, whole[at], low[at], high[at]) for at, name in enumerate(STATISTICS)
        ]
    table = pd.DataFrame(rows, columns=["compared", "statistic", "value", "ci_low", "ci_high"])
    return table.assign(
        heads=predicted[0].size,
        n=len(predicted),
        descriptive=bool(is_descriptive(len(predicted), len(np.unique(units)))),
    )


def head_table(
    predicted: np.ndarray, measured: np.ndarray, units: np.ndarray, seed: int
) -> pd.DataFrame:
    """One row per head: the mean predicted and measured change, with intervals over units.

    Columns: layer, head, predicted, predicted_low, predicted_high, measured, measured_low,
    measured_high, n.
    """
    layers, heads = np.indices(predicted.shape[1:])
    columns = {"layer": layers.ravel(), "head": heads.ravel()}
    for name, values in (("predicted", predicted), ("measured", measured)):
        found = bootstrap_ratio(*sums_of_units(values, units), seed=seed)
        for end, each in zip(("", "_low", "_high"), found, strict=True):
            columns[name + end] = each.ravel()
    return pd.DataFrame(columns).assign(n=len(predicted))


def _correlations(
    first: np.ndarray, second: np.ndarray, counts: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """(draw, statistic) over the heads; NaN where a side is constant."""
    size = (weights @ counts)[:, None]
    sides = weights @ first / size, weights @ second / size
    pearson = _cosine(*(_centred(side) for side in sides))
    spearman = _cosine(*(_centred(rankdata(side, axis=1)) for side in sides))
    # Pairs of heads are many, so a few draws at a time.
    blocks = zip(*(np.array_split(side, -(-len(side) // _BLOCK)) for side in sides), strict=True)
    kendall = [_cosine(_pair_signs(one), _pair_signs(other)) for one, other in blocks]
    return np.stack([pearson, spearman, np.concatenate(kendall)], axis=1)


def _cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of each row with the row beside it: Pearson's r, Spearman's ρ or Kendall's τ-b, of centred
    values, centred ranks or the signs of all pairs."""
    size = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return np.divide((one * other).sum(1), size, out=np.full(len(size), np.nan), where=size > 0)


def _centred(rows: np.ndarray) -> np.ndarray:
    return rows - rows.mean(1, keepdims=True)


def _pair_signs(rows: np.ndarray) -> np.ndarray:
    """The sign of the difference of each two items, both ways: (row, pair)."""
    above = (rows[:, :, None] > rows[:, None]).astype(np.float32)
    return (above - above.swapaxes(1, 2)).reshape(len(rows), -1)
