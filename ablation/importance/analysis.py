"""The importance of every head of a model, with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ...attribution.goals import Function
from ...corpora import Example, Examples
from ...errors import AttributionError, BertologyError
from ...results import Result
from ...stats import bootstrap_ratio, is_descriptive
from ..knockout import head_grid
from ..setting import Setting, settle, sums_of_units
from .gradients import positions_read
from .loss import loss_goal, refuse_lossless
from .methods import AGAINST, METHODS, Method


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
    own = _checked(method, against, batch_size, target, foil)
    head_grid(model.module)
    if against == "loss":
        refuse_lossless(model, examples.examples)
    options = {} if method == "example" and against == "target" else {
        "method": method, "against": against, "batch_size": batch_size}  # fmt: skip
    if against == "loss" and len(model.labels) > 1:
        target = "label"
    setting = settle(model, examples, target=target, foil=foil, seed=seed, options=options)
    if against == "loss":
        setting = _with_losses(model, setting)
    batches = {"batch_size": batch_size} if own.batches else {}
    values = own.run(model, setting.encodings, setting.goals, seed=seed, **batches)
    return Importance(
        table=_table(own, values, setting, batch_size, seed).assign(
            method=method, against=against if own.loss else ""
        ),
        provenance=setting.provenance,
        ids=setting.ids,
        per_example=values,
    )


def _checked(
    method: str, against: str, batch_size: int | None, target: Any, foil: str | None
) -> Method:
    if method not in METHODS:
        raise BertologyError(
            f"The importance {method!r} does not exist; choose one of {', '.join(METHODS)}."
        )
    own = METHODS[method]
    if against not in AGAINST:
        raise BertologyError(f"against is {against!r}; choose {' or '.join(AGAINST)}.")
    if against == "loss" and not own.loss:
        takers = ", ".join(name for name, other in METHODS.items() if other.loss)
        raise BertologyError(
            f"The importance {method!r} is not a gradient of the loss; leave against out, or "
            f"choose one of {takers}."
        )
    if against == "loss" and (target is not None or foil is not None):
        raise BertologyError(
            f"target={target!r}, foil={foil!r} were given with against='loss', which is the loss "
            "of the answer that the data give; leave them out."
        )
    if own.batches != (batch_size is not None) or (batch_size is not None and batch_size < 1):
        raise BertologyError(
            f"batch_size is {batch_size!r} with the importance {method!r}; 'batch' needs it, at "
            "least 1, because the result depends on it, and no other importance takes it."
        )
    return own


def _with_losses(model: Any, setting: Setting) -> Setting:
    """The setting with loss goals, without the examples whose answer is not known."""
    rows = zip(setting.encodings, setting.goals, setting.examples, strict=True)
    found = [(loss_goal(model, *row), row) for row in rows]
    lost = [(goal, row[2].id) for goal, row in found if isinstance(goal, str)]
    kept = [number for number, (goal, _) in enumerate(found) if not isinstance(goal, str)]
    if not kept:
        raise AttributionError(
            f"None of the {len(found)} examples has a loss: of {lost[0][1]!r}, {lost[0][0]}. Give "
            "examples whose answer is known, or take the target (against='target')."
        )
    examples: list[Example] = [setting.examples[number] for number in kept]
    skipped = [*setting.provenance.skipped, *([name, reason] for reason, name in lost)]
    return replace(
        setting,
        encodings=[setting.encodings[number] for number in kept],
        goals=[goal for goal, _ in found if not isinstance(goal, str)],
        examples=examples,
        units=setting.units[kept],
        provenance=replace(setting.provenance, skipped=skipped, sentences=len(kept)),
    )


def _table(
    own: Method, values: np.ndarray, setting: Setting, batch_size: int | None, seed: int
) -> pd.DataFrame:
    if own.texts:
        units = _joined(setting.units, batch_size or 1)
        mean, low, high = _means(own, values, setting, units, seed)
        n, descriptive = len(values), bool(is_descriptive(len(values), len(np.unique(units))))
    else:
        mean, n, descriptive = values[0].astype(float), 0, False
        low = high = np.full_like(mean, np.nan)
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
    })  # fmt: skip


def _means(
    own: Method, values: np.ndarray, setting: Setting, units: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    sums, counts = sums_of_units(values, units)
    if own.positions:
        read = positions_read(setting.encodings, setting.goals, values.shape[1])
        positions, _ = sums_of_units(read[..., None], units)
        counts = np.broadcast_to(positions, sums.shape)
    return bootstrap_ratio(sums, counts, seed=seed)


def normalised(values: np.ndarray) -> np.ndarray:
    """Values (layer, head) divided by the ℓ2 norm of their layer; a layer of zeros stays so."""
    norms = np.sqrt((values**2).sum(1, keepdims=True))
    return np.divide(values, norms, out=np.zeros_like(values), where=norms > 0)


def _joined(units: Sequence[int] | np.ndarray, batch_size: int) -> np.ndarray:
    """(example,), the unit of each, where units that share a batch are one.

    The examples of a batch have one value, so they cannot be resampled apart.
    """
    known = np.unique(units, return_inverse=True)[1]
    batches = np.arange(len(known)) // batch_size + known.max() + 1
    size = int(batches.max()) + 1
    links = coo_array((np.ones(len(known)), (known, batches)), shape=(size, size))
    _, component = connected_components(links, directed=False)
    return component[known]
