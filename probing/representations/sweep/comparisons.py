"""Paired tests of every layer against what a probe should beat."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from ....stats import benjamini_hochberg
from .outcomes import Outcome
from .sums import Units

COLUMNS = ("task", "layer", "probe", "against", "metric", "difference", "ci_low", "ci_high", "n",
           "p", "p_adjusted", "descriptive")  # fmt: skip

#: The baselines that a probe should beat; beating the others proves nothing.
REFERENCES = ("lookup", "linear_chain")


def comparison_table(
    outcomes: Sequence[Outcome], units: Units, *, metric: str = "accuracy"
) -> pd.DataFrame:
    """The rows of one task, not yet corrected: the model's probes minus what they are held to.

    `against` is `lookup` (of trees: `linear_chain`), `layer_0`, `previous_layer` (the nearest lower
    layer that was read) or another source of states, whose same layer is meant; layer 0 of
    `random_layers` is the model's own and left out. Beating the majority class proves nothing, so
    it is not tested. p is two-sided.
    """
    pairs = list(_pairs(outcomes))
    if not pairs:
        return pd.DataFrame(columns=list(COLUMNS))
    differences = np.stack([one.own - other.own for one, _, other in pairs])
    mean, low, high = units.intervals(differences)
    if units.descriptive:
        low, high = np.full_like(low, np.nan), np.full_like(high, np.nan)
    return pd.DataFrame({
        "task": [one.task for one, _, _ in pairs],
        "layer": pd.array([one.layer for one, _, _ in pairs], dtype="Int64"),
        "probe": [one.probe for one, _, _ in pairs],
        "against": [name for _, name, _ in pairs],
        "metric": metric,
        "difference": mean, "ci_low": low, "ci_high": high,
        "n": units.n,
        "p": units.p_values(differences, two_sided=True),
        "p_adjusted": np.nan,
        "descriptive": units.descriptive,
    })[list(COLUMNS)]  # fmt: skip


def corrected(table: pd.DataFrame) -> pd.DataFrame:
    """Benjamini–Hochberg over layers × tasks, for each probe, metric and thing it is held to."""
    families = table.groupby(["probe", "metric", "against"])["p"]
    return table.assign(p_adjusted=families.transform(lambda p: benjamini_hochberg(p.to_numpy())))


def _pairs(outcomes: Sequence[Outcome]) -> Iterator[tuple[Outcome, str, Outcome]]:
    reference = next(o for o in outcomes if o.probe in REFERENCES)
    for one in (o for o in outcomes if o.source == "model"):
        alike = [o for o in outcomes if o.probe == one.probe]
        lower = [o for o in alike if o.source == "model" and (o.layer or 0) < (one.layer or 0)]
        yield one, reference.probe, reference
        yield from ((one, "layer_0", o) for o in lower if o.layer == 0)
        yield from ((one, "previous_layer", o) for o in lower[-1:])
        others = [o for o in alike if o.source != "model" and not o.reads_embeddings]
        yield from ((one, o.source, o) for o in others if o.layer == one.layer)
