"""The best layer of each probe, chosen on held-out training data and scored on the evaluation."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from ....stats import holm, wilson
from .outcomes import Outcome
from .sums import Units

COLUMNS = (
    "task", "probe", "metric", "layer", "c", "value", "ci_low", "ci_high", "n",
    "control_layer", "control", "selectivity", "selectivity_ci_low", "selectivity_ci_high",
    "against", "against_layer", "against_value", "difference", "difference_ci_low",
    "difference_ci_high", "p", "p_adjusted", "descriptive",
)  # fmt: skip


def best_layers(outcomes: Sequence[Outcome], units: Units) -> pd.DataFrame:
    """The rows of one task, not yet corrected: one for each probe and each thing it is held to.

    The layer is the one with the best accuracy on the held-out part of training (the lowest of
    equals). The control labels have their own best layer, `control_layer`, and so has every other
    source of states: all get the same choice. Where the layer is 0, rivals that are the same
    embeddings are left out: there is nothing to test. p is one-sided: the probe is better.
    """
    rows = [
        row
        for probe in dict.fromkeys(o.probe for o in outcomes if o.source == "model")
        for row in _rows(outcomes, probe, units)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(
        {"layer": "Int64", "control_layer": "Int64", "against_layer": "Int64"}
    )


def corrected(table: pd.DataFrame) -> pd.DataFrame:
    """Holm over all rows of the table."""
    return table if table.empty else table.assign(p_adjusted=holm(table["p"].to_numpy(float)))


def _rows(outcomes: Sequence[Outcome], probe: str, units: Units) -> list[dict[str, object]]:
    model = [o for o in outcomes if o.probe == probe and o.source == "model"]
    best, control = _best(model), _best(model, control=True)
    rivals = [
        (name, rival)
        for name, rival in _rivals(outcomes, model)
        if not (best.reads_embeddings and rival.reads_embeddings)
    ]
    own, controlled = best.own, control.control.mean(axis=0)
    values = np.stack([own, own - controlled, *(own - rival.own for _, rival in rivals)])
    mean, low, high = units.intervals(values)
    if units.descriptive:
        low[:], high[:] = np.nan, np.nan
        low[0], high[0] = wilson(own.sum(), np.array(len(own)))
    p = units.p_values(values[2:], two_sided=False)
    return [
        {
            "task": best.task, "probe": probe, "metric": "accuracy",
            "layer": best.layer, "c": best.c,
            "value": mean[0], "ci_low": low[0], "ci_high": high[0], "n": len(own),
            "control_layer": control.layer, "control": controlled.mean(),
            "selectivity": mean[1],
            "selectivity_ci_low": low[1], "selectivity_ci_high": high[1],
            "against": name, "against_layer": rival.layer, "against_value": rival.own.mean(),
            "difference": mean[place], "difference_ci_low": low[place],
            "difference_ci_high": high[place],
            "p": p[place - 2], "p_adjusted": np.nan, "descriptive": units.descriptive,
        }
        for place, (name, rival) in enumerate(rivals, start=2)
    ]  # fmt: skip


def _best(outcomes: Sequence[Outcome], *, control: bool = False) -> Outcome:
    return max(outcomes, key=lambda o: o.held_control if control else o.held)


def _rivals(outcomes: Sequence[Outcome], model: Sequence[Outcome]) -> Iterator[tuple[str, Outcome]]:
    yield "lookup", next(o for o in outcomes if o.probe == "lookup")
    yield from (("layer_0", o) for o in model if o.layer == 0)
    sources = dict.fromkeys(o.source for o in outcomes if o.source not in ("model", ""))
    for source in sources:
        yield source, _best([o for o in outcomes if o.source == source
                             and o.probe == model[0].probe])  # fmt: skip
