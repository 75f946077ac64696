"""The best part chosen on one half of the data and scored on the other.

The part that gains most on a data set gains there partly by chance: of 144 heads without any
effect the best one looks useful (Kovaleva et al. 2019 report such gains of up to 3.2 points).
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from ..corpora.text import random_half
from ..errors import CaptureError, CorpusError
from ..stats import holm
from .effects import differences
from .metrics import Metric, named
from .sweep import Ablation

#: Which part is chosen: of the differences (part,), their place in the order of preference.
CHOICES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "highest": lambda delta: delta,
    "lowest": lambda delta: -delta,
    "largest": np.abs,
}
#: What is better, by whether a higher value is.
_BEST = {True: "highest", False: "lowest", None: "largest"}
COLUMNS = (
    "mode", "metric", "choice", "part", "other_part", "same_part", "naive_part", "naive_delta",
    "base", "ablated", "delta", "ci_low", "ci_high", "p_adjusted", "n", "descriptive",
)  # fmt: skip


def held_out(
    ablation: Ablation, metric: str | Metric, *, choice: str | None = None, seed: int = 0
) -> pd.DataFrame:
    """One row a mode: the effect of the best part, on data that it was not chosen on.

    The units are split into two halves at random; on each half that part is scored which was
    chosen on the other (`part` on the first, `other_part` on the second), and the two are pooled.
    `naive_delta` is what the best part of all data (`naive_part`) shows on the data it was chosen
    on, which is too good. The interval holds the choices fixed; p is Holm-adjusted over the rows.

    Args:
        metric: of the ablation; its name, or for a function of one's own
            `ablation.metrics.scored_by(function)`.
        choice: the part with the `highest` delta, the `lowest`, or the `largest` of either sign;
            by default the part without which the model is best (of a target the largest).

    Raises:
        CaptureError: another choice, or a metric that the ablation does not have.
        CorpusError: there are fewer than two units, or the metric is not defined on them.
    """
    if choice is not None and choice not in CHOICES:
        raise CaptureError(f"choice is {choice!r}; choose from {', '.join(CHOICES)}.")
    metric = _metric(ablation, metric)
    choice = choice or _BEST[metric.higher_is_better]
    base = ablation.rows(metric.name)
    known = ~np.isnan(base).any(-1)
    base, units = base[known], ablation.units[known]
    names = ablation.parts["part"].to_numpy()
    half = random_half(units, seed)
    rows = []
    for mode in ablation.modes:
        parts = ablation.rows(metric.name, mode)[:, known]

        def best(where: np.ndarray, parts: np.ndarray = parts) -> int:
            delta = metric.of(parts[:, where]) - metric.of(base[where])
            if np.isnan(delta).all():
                raise CorpusError(
                    f"On {int(where.sum())} of the examples {metric.name} is not defined without "
                    "any part (a correlation with a constant is not); give more, or another metric."
                )
            return int(np.nanargmax(CHOICES[choice](delta)))

        first, second, naive = best(half), best(~half), best(np.ones_like(half))
        # What is chosen on one half is scored on the other.
        scored = np.where(half[:, None], parts[second], parts[first])
        found = differences(metric, base, scored[None, None], units, seed).iloc[0]
        rows.append({
            "mode": mode, "metric": metric.name, "choice": choice, "part": names[first],
            "other_part": names[second], "same_part": first == second,
            "naive_part": names[naive],
            "naive_delta": float(metric.of(parts[naive]) - metric.of(base)), **found,
        })  # fmt: skip
    table = pd.DataFrame(rows)
    table["p_adjusted"] = holm(table["p_adjusted"].to_numpy())
    return table[list(COLUMNS)]


def _metric(ablation: Ablation, metric: str | Metric) -> Metric:
    if isinstance(metric, Metric):
        return metric
    found = named(metric, ablation.rows(metric).shape[-1])
    if found is None:
        raise CaptureError(
            f"{metric!r} is a function of yours; give ablation.metrics.scored_by(function)."
        )
    return found
