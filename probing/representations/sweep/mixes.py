"""What a scalar mix draws on: its weights, its centre of gravity and the expected layer."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.stats import entropy

from .outcomes import NOTHING, Outcome
from .sums import Units

COLUMNS = ("task", "source", "quantity", "layer", "value", "ci_low", "ci_high", "seed_sd", "n")


def mix_table(outcomes: Sequence[Outcome], units: Units) -> pd.DataFrame:
    """The rows of one task: what the mix of all layers consists of (Tenney et al. 2019).

    `weight` (one row a layer), `centre_of_gravity` and `weight_entropy` (nats) are means over seeds
    and random models, with `seed_sd` over these and no interval, for they depend on training data
    alone. `expected_layer` is where mixes of 0 … l gain on average, with an interval over units.
    """
    sources = dict.fromkeys(o.source for o in outcomes if o.probe == "mix")
    rows = [row for source in sources for row in _rows(
        [o for o in outcomes if o.probe == "mix" and o.source == source], units
    )]  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"layer": "Int64"})


def _rows(mixes: Sequence[Outcome], units: Units) -> Iterator[dict[str, object]]:
    full = mixes[-1]
    layers = [mix.layer or 0 for mix in mixes]
    same = {"task": full.task, "source": full.source, "n": len(full.own)}
    quantities: list[tuple[str, int | None, np.ndarray]] = [
        *(("weight", layer, full.weights[:, k]) for k, layer in enumerate(layers)),
        ("centre_of_gravity", None, full.weights @ np.array(layers)),
        ("weight_entropy", None, entropy(full.weights, axis=1)),
    ]
    for quantity, layer, values in quantities:
        sd = values.std(ddof=1) if len(values) > 1 else NOTHING
        yield {**same, "quantity": quantity, "layer": layer, "value": values.mean(), "seed_sd": sd}
    if len(mixes) > 1:
        value, low, high = _expected_layer(mixes, units)
        yield {**same, "quantity": "expected_layer", "value": value, "ci_low": low, "ci_high": high}


def _expected_layer(mixes: Sequence[Outcome], units: Units) -> tuple[float, float, float]:
    """Σ l · Δ_l / Σ Δ_l, in units of the layers that were read: a ratio of sums over items."""
    gains = np.diff(np.stack([mix.own for mix in mixes]), axis=0)  # (layer, item)
    total = gains.sum(axis=0)
    if total.sum() <= 0:
        return NOTHING, NOTHING, NOTHING
    layers = np.array([mix.layer for mix in mixes[1:]])
    value, low, high = map(float, replace(units, counts=total).intervals(layers @ gains))
    return (value, NOTHING, NOTHING) if units.descriptive else (value, low, high)
