"""Plausibility of every score over a data set with rationales."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ...errors import AttributionError
from ..means import mean_over_units
from .measures import area_under_curve, iou_f1, precision_recall_area, token_f1

METRICS = ("token_f1", "iou_f1", "average_precision", "auprc")


def plausibility(
    scores: Sequence[Mapping[str, np.ndarray]],
    rationales: Sequence[np.ndarray],
    units: Sequence[int],
    *,
    seed: int,
) -> pd.DataFrame:
    """How well each score finds the words that people marked; no evidence of faithfulness.

    Scores rank with their sign, highest first: the words for the class. F1 takes as many words
    of a text as the mean density of the rationales asks for (at least one); ties are broken at
    random. `baseline` of a metric is that of random scores on the same texts; its average
    precision is about the density. `difference` to it is paired.

    Args:
        scores: of each text, by name, (word,); a text may lack a score.
        rationales: of each text, (word,) bool. Texts without any marked word are left out.

    Returns:
        `score,metric,mean,ci_low,ci_high,n,baseline,difference,difference_low,
        difference_high,density,descriptive`.

    Raises:
        AttributionError: a rationale of another length than the scores, or none at all.
    """
    names = list(dict.fromkeys(name for own in scores for name in own))
    marked = np.array([rationale.any() for rationale in rationales])
    if not marked.any():
        raise AttributionError("No text has a rationale with a marked word; give rationales.")
    density = float(np.mean([r.mean() for r, has in zip(rationales, marked, strict=True) if has]))
    generator = np.random.default_rng([seed, 2])
    values = np.full((len(scores), len(names) + 1, len(METRICS)), np.nan)
    for number in np.flatnonzero(marked).tolist():
        rationale = rationales[number]
        rows = [scores[number].get(name) for name in names] + [generator.random(len(rationale))]
        for place, row in enumerate(rows):
            if row is None:
                continue
            if len(row) != len(rationale):
                raise AttributionError(
                    f"Text {number} has {len(row)} scored words and a rationale over "
                    f"{len(rationale)}; give one mark for each scored word."
                )
            values[number, place] = _measured(row, rationale, density, generator)
    means = mean_over_units(values, units, seed)
    gains = mean_over_units(values - values[:, -1:], units, seed)
    return pd.DataFrame([
        {
            "score": name, "metric": metric,
            "mean": means.mean[s, m], "ci_low": means.low[s, m], "ci_high": means.high[s, m],
            "n": means.n[s, m], "baseline": means.mean[-1, m],
            "difference": gains.mean[s, m], "difference_low": gains.low[s, m],
            "difference_high": gains.high[s, m], "density": density,
            "descriptive": means.descriptive[s, m],
        }
        for s, name in enumerate(names)
        for m, metric in enumerate(METRICS)
    ])  # fmt: skip


def _measured(
    scores: np.ndarray, rationale: np.ndarray, density: float, generator: np.random.Generator
) -> list[float]:
    order = np.lexsort((generator.random(len(scores)), -scores))
    top = np.zeros(len(scores), dtype=bool)
    top[order[: max(1, int(density * len(scores) + 0.5))]] = True
    return [
        token_f1(top, rationale),
        iou_f1(top, rationale),
        precision_recall_area(scores, rationale),
        area_under_curve(scores, rationale),
    ]
