"""Head importance by gradient, after Michel et al. 2019."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from ...attribution.goals import Function
from ...attribution.running import stream_with
from ...attribution.targets import Goal, measure
from ...capture import Batch, gate_heads, hooked
from ...corpora import Encoding, Examples
from ...errors import CorpusError
from ...results import Result
from ...stats import bootstrap_ratio, is_descriptive
from ..knockout import head_grid
from ..setting import settle, sums_of_units


@dataclass(frozen=True, repr=False)
class Importance(Result):
    """How strongly the target reacts to each head's gate.

    `table` has one row per layer and head: `importance`, the mean of |∂target/∂ξ| over `n`
    examples, with its 95 % interval over units; `normalised`, the same divided by the ℓ2 norm
    of its layer; `descriptive`, True where there is too little data for more.
    """

    ids: np.ndarray
    """(example,)"""
    per_example: np.ndarray
    """(example, layer, head), |∂target/∂ξ| of each example."""


def importance(
    model: Any,
    examples: Examples,
    *,
    target: str | Function | None = None,
    foil: str | None = None,
    seed: int = 0,
) -> Importance:
    """Importance of every head: E|∂target/∂ξ| at gate ξ = 1 (Michel et al. 2019, section 4.1).

    The paper takes the loss; here the target stands in its place, so that no label is needed.
    It is a slope: what it says about removing the head altogether is for `ablate` to show.

    Args:
        model: what `load_model` returns.
        target: class, token or function, see `bertology.attribution.prepare`; so `foil`.

    Raises:
        CaptureError: attention that cannot be reached.
        AttributionError: the target does not suit the model, or no example can be used.
    """
    head_grid(model.module)
    setting = settle(model, examples, target=target, foil=foil, seed=seed, options={})
    values = head_importance(model, setting.encodings, setting.goals)
    return Importance(
        table=_table(values, setting.units, seed),
        provenance=setting.provenance,
        ids=setting.ids,
        per_example=values,
    )


def head_importance(model: Any, encodings: Sequence[Encoding], goals: Sequence[Goal]) -> np.ndarray:
    """|∂target/∂ξ| of every example and head, ξ being a gate on the head's output, at ξ = 1.

    Every example has gates of its own, so one backward pass serves a batch and the absolute
    value is taken per example.

    Args:
        goals: what is measured on each encoding, from `bertology.attribution.prepare`.

    Returns:
        (example, layer, head), float32.

    Raises:
        CorpusError: no text is given.
        CaptureError: attention that cannot be reached.
        AttributionError: the numbers of encodings and goals differ.
    """

    if not encodings:
        raise CorpusError("Head importance needs at least one text; none was given.")

    def run(batch: Batch, asked: list[Goal]) -> list[np.ndarray]:
        return list(np.abs(gate_gradients(model, batch, asked)))

    return np.stack(stream_with(model, encodings, goals, run, description="head importance"))


def gate_gradients(model: Any, batch: Batch, goals: Sequence[Goal]) -> np.ndarray:
    """∂target/∂ξ for the texts of a batch: (batch, layer, head), float32, with its sign."""
    layers, heads = head_grid(model.module)
    gates = torch.ones(len(batch), layers, heads, device=model.device, requires_grad=True)
    with torch.enable_grad(), hooked(model.module, gate_heads(gates)):
        total = measure(model, batch, goals).sum()
        (gradients,) = torch.autograd.grad(total, gates)
    return gradients.cpu().numpy()


def _table(values: np.ndarray, units: np.ndarray, seed: int) -> pd.DataFrame:
    sums, counts = sums_of_units(values, units)
    mean, low, high = bootstrap_ratio(sums, counts, seed=seed)
    norms = np.sqrt((mean**2).sum(1, keepdims=True))
    normalised = np.divide(mean, norms, out=np.zeros_like(mean), where=norms > 0)
    layers, heads = np.indices(mean.shape)
    return pd.DataFrame({
        "layer": layers.ravel(),
        "head": heads.ravel(),
        "importance": mean.ravel(),
        "ci_low": low.ravel(),
        "ci_high": high.ravel(),
        "n": len(values),
        "normalised": normalised.ravel(),
        "descriptive": bool(is_descriptive(len(values), len(counts))),
    })  # fmt: skip
