"""The importance of every head of a model, with intervals."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ...attribution.goals import Function
from ...corpora import Examples
from ...results import Result
from ...stats import bootstrap_ratio, is_descriptive
from .question import Criterion, Question, ask


@dataclass(frozen=True, repr=False)
class Importance(Result):
    """How much each head matters, by one measure.

    `table` has one row per layer and head: `importance`, the mean over `n` examples with its
    95 % interval over units; `normalised`, the same divided by the ℓ2 norm of its layer;
    `descriptive`, True where there is too little data for more; `method`; `against`, what the
    gradient is of (`target` or `loss`), empty without one. The importance per position is a sum
    over the positions of all examples divided by their number. Weights have no interval and an
    `n` of 0.
    """

    ids: np.ndarray
    """(example,)"""
    per_example: np.ndarray
    """(example, layer, head), or (1, layer, head) of weights: what the measure gives each
    example; of `position` the sum over its positions."""


def importance(
    model: Any,
    examples: Examples,
    *,
    method: str = "example",
    against: str = "target",
    batch_size: int | None = None,
    target: str | Function | None = None,
    foil: str | None = None,
    seed: int = 0,
) -> Importance:
    """Importance of every head; by default E|∂target/∂ξ| at gate ξ = 1 (Michel et al. 2019, 4.1).

    The paper takes the loss; by default the target stands in its place, so that no label is
    needed. It is a slope: what it says about removing the head altogether is for `ablate` to
    show.

    Args:
        model: what `load_model` returns.
        method: the gradient by a gate, its absolute value taken per `position` (the authors'
            code), per `example` (the formula) or per `batch` (the script of transformers);
            `relevance` (LRP) or `confidence` (Voita et al. 2019); `output_norm`, ‖W_O‖, or
            `value_output_norm`, ‖W_V W_O‖.
        against: what the gradient is of, `target` or `loss`: the cross-entropy of the label, of
            the word behind the mask, or of the words of a text, or the squared error of a number.
        batch_size: of `batch`, and of no other: 1 gives `example`.
        target: class, token or function, see `bertology.attribution.prepare`; so `foil`.

    Raises:
        BertologyError: an unknown method, or options that it does not take.
        CaptureError: attention, or weights, that cannot be reached.
        ModelError: a loss of a model that has none.
        CorpusError: a loss of a classifier without labels.
        AttributionError: the target does not suit the model, no example can be used, or relevance
            is not conserved.
    """
    criterion = Criterion(method, against, batch_size)
    question = ask(model, examples, criterion, target=target, foil=foil, seed=seed)
    values = question.values(model, seed)
    return Importance(
        table=_table(question, values, seed),
        provenance=question.provenance,
        ids=question.ids,
        per_example=values,
    )


def _table(question: Question, values: np.ndarray, seed: int) -> pd.DataFrame:
    criterion = question.criterion
    mean = question.means(values)
    low = high = np.full_like(mean, np.nan)
    n, descriptive = 0, False
    if criterion.own.texts:
        units = units_of_batches(question.units, criterion.batch_size or 1)
        _, low, high = bootstrap_ratio(*question.sums(values, units), seed=seed)
        n, descriptive = len(values), bool(is_descriptive(len(values), len(np.unique(units))))
    layers, heads = np.indices(mean.shape)
    return pd.DataFrame({
        "layer": layers.ravel(),
        "head": heads.ravel(),
        "importance": mean.ravel(),
        "ci_low": low.ravel(),
        "ci_high": high.ravel(),
        "n": n,
        "normalised": normalised(mean).ravel(),
        "descriptive": descriptive,
        "method": criterion.method,
        "against": criterion.against if criterion.own.loss else "",
    })  # fmt: skip


def normalised(values: np.ndarray) -> np.ndarray:
    """Values (layer, head) divided by the ℓ2 norm of their layer; a layer of zeros stays so."""
    norms = np.sqrt((values**2).sum(1, keepdims=True))
    return np.divide(values, norms, out=np.zeros_like(values), where=norms > 0)


def units_of_batches(units: np.ndarray, batch_size: int) -> np.ndarray:
    """(example,), the unit of each, where units that share a batch are one.

    The examples of a batch have one value, so they cannot be resampled apart.
    """
    known = np.unique(units, return_inverse=True)[1]
    batches = np.arange(len(known)) // batch_size + known.max() + 1
    size = int(batches.max()) + 1
    links = coo_array((np.ones(len(known)), (known, batches)), shape=(size, size))
    _, component = connected_components(links, directed=False)
    return component[known]
