"""Infidelity: whether scores foretell what a perturbation of the words does to the target."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ...errors import AttributionError
from ..goals import measure
from ..scores import SCORES, Scores
from ..targets import Prepared
from .gating import gated_outcomes, of_tokens
from .rankings import long_enough, ranking, rankings_of, rows_of, table_of

DRAWS = 50
#: How much of each word (draw, item) is taken away, by name.
PERTURBATIONS: dict[str, Callable[[np.random.Generator, tuple[int, int]], np.ndarray]] = {
    "erasure": lambda generator, shape: generator.integers(2, size=shape).astype(float),
    "noise": lambda generator, shape: generator.normal(scale=0.1, size=shape),
}


def infidelity(
    model: Any,
    prepared: Prepared,
    scores: Sequence[Scores],
    units: Sequence[int],
    *,
    seed: int,
    names: Sequence[str] = SCORES,
    perturbations: Sequence[str] = tuple(PERTURBATIONS),
    draws: int = DRAWS,
    scale: bool = False,
) -> pd.DataFrame:
    """E[(Iᵀφ − (f(x) − f(x − I)))²] of each score φ (Yeh et al. 2019, definition 2.1); 0 is best.

    f is the target that the scores explain, in its own unit, as a function of how much of each
    word is there: the word's embeddings are multiplied with 1 − I. Where all of every word is
    there the input is 1, so that scores are local and global at once: input × gradient is the
    gradient of f, and integrated gradients are global attributions, which captum's
    `infidelity` wants marked by `multiply_by_inputs`. It finds the same for each score; here
    all scores share the perturbed passes. Baselines have no unit; their values only say what
    scores of no meaning reach when `scale` is set.

    Perturbations, because rankings of scores depend on them: `erasure` takes each word away
    entirely with probability ½, `noise` takes away a share from N(0, 0.1²).

    Args:
        names: the scores, by their names in `Scores.named`.
        draws: perturbations of each text, the same for all scores.
        scale: multiply φ with the β that makes the infidelity of the text smallest (captum's
            `normalize`), so that only proportions count.

    Returns:
        The columns of `faithfulness`, with `infidelity` (or `infidelity_scaled`) as the metric
        and the perturbation as the operator.

    Raises:
        AttributionError: an unknown score or perturbation, or no draw.
    """
    for name in perturbations:
        if name not in PERTURBATIONS:
            raise AttributionError(
                f"perturbation is {name!r}; give some of {', '.join(PERTURBATIONS)}."
            )
    if draws < 1:
        raise AttributionError(f"draws is {draws}; give at least 1.")
    ranked = rankings_of(names, scores)
    kept = long_enough(scores)
    rows: list[tuple[Any, ...]] = []
    for name in perturbations:
        taken = [
            PERTURBATIONS[name](np.random.default_rng([seed, n]), (draws, len(scores[n].items)))
            for n in kept
        ]
        values = gated_outcomes(
            model,
            [prepared.encodings[n] for n in kept],
            [prepared.goals[n] for n in kept],
            [
                [of_tokens(_left(row, scores[n])) for row in (np.zeros(own.shape[1]), *own)]
                for n, own in zip(kept, taken, strict=True)
            ],
            measure,
            description=f"infidelity ({name})",
        )
        found = np.full((len(scores), len(ranked)), np.nan)
        for n, own, value in zip(kept, taken, values, strict=True):
            for place, score in enumerate(ranked):
                if (phi := ranking(scores[n], score)) is not None:
                    found[n, place] = mean_square(own @ phi, value[0] - value[1:], scale=scale)
        metric = "infidelity_scaled" if scale else "infidelity"
        rows += rows_of(found, ranked, metric, name, units, seed)
    return table_of(rows)


def mean_square(foretold: np.ndarray, changes: np.ndarray, *, scale: bool) -> float:
    """Mean squared error over draws (draw,); with `scale` at the best factor of what is foretold.

    Scores of 0 foretell nothing, and no factor helps.
    """
    if scale:
        size = float(foretold @ foretold)
        foretold = foretold * (float(foretold @ changes) / size if size else 0.0)
    return float(np.mean((foretold - changes) ** 2))


def _left(taken: np.ndarray, scores: Scores) -> np.ndarray:
    """(token,) what is left of each token; all of those that are not scored."""
    of_token = scores.items.of_token
    return np.where(of_token >= 0, 1 - taken[of_token], 1.0)
