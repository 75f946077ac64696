"""Every score on models whose evidence is known: which of them fail on a known case."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from ...corpora import Example
from ..means import mean_over_units
from ..plausibility import precision_recall_area
from ..targets import prepare
from ..words import items_of
from .carriers import planted
from .training import Planted

#: As the methods of `attribution.methods`: (model, encodings, goals, *, seed) to token scores.
Method = Callable[..., Sequence[np.ndarray | None]]
#: A score fails where the interval of its mean average precision lies below this.
PASSED = 0.9
TEXTS = 60


def calibration_table(
    models: Sequence[Planted],
    methods: Mapping[str, Method],
    *,
    texts: int = TEXTS,
    seed: int = 0,
) -> pd.DataFrame:
    """How well each score ranks the planted evidence first, by trap.

    The measure is average precision of absolute word scores on texts that no model was trained
    on; 1 is perfect, `baseline` that of random scores. Every admitted model of a trap reads
    `texts` texts; texts are resampled within models, models as they are.

    Returns:
        `trap,score,mean,ci_low,ci_high,n,models,lowest_model,baseline,passes`; `n` counts texts,
        `lowest_model` is the mean of the worst model; `passes` is empty (NA) where the
        interval holds the threshold .9 inside.
    """
    parts = []
    admitted = [model for model in models if model.admitted]
    for trap in dict.fromkeys(model.trap for model in admitted):
        own = [model for model in admitted if model.trap == trap]
        values = np.concatenate([
            _measured(model, methods, planted(trap, texts, seed=model.seed + 3000).examples, seed)
            for model in tqdm(own, desc=f"calibration: {trap}", unit="model", dynamic_ncols=True)
        ])  # fmt: skip
        parts.append(_part(trap, values, [*methods, "random"], len(own), seed))
    return pd.concat(parts, ignore_index=True)


def _measured(
    model: Planted, methods: Mapping[str, Method], examples: Sequence[Example], seed: int
) -> np.ndarray:
    """Average precision (text, score), the last score being random."""
    prepared = prepare(model.model, examples)
    encodings, goals = prepared.encodings, prepared.goals
    items = [items_of(e, goal, "word") for e, goal in zip(encodings, goals, strict=True)]
    rationales = [
        np.array(examples[number].rationale)[own.indices]
        for number, own in zip(prepared.kept, items, strict=True)
    ]
    generator = np.random.default_rng([seed, model.seed])
    found = np.full((len(items), len(methods) + 1), np.nan)
    for place, method in enumerate(methods.values()):
        scores = method(model.model, encodings, goals, seed=seed)
        for number, (own, score) in enumerate(zip(items, scores, strict=True)):
            if score is not None:
                found[number, place] = _precision(own.sums(score), rationales[number])
    for number, rationale in enumerate(rationales):
        found[number, -1] = _precision(generator.random(len(rationale)), rationale)
    return found


def _precision(scores: np.ndarray, rationale: np.ndarray) -> float:
    return precision_recall_area(np.abs(scores), rationale)


def _part(
    trap: str, values: np.ndarray, names: Sequence[Any], models: int, seed: int
) -> pd.DataFrame:
    means = mean_over_units(values, range(len(values)), seed)
    by_model = pd.DataFrame(values).groupby(np.repeat(np.arange(models), len(values) // models))
    passes = [
        True if low >= PASSED else False if high < PASSED else pd.NA
        for low, high in zip(means.low, means.high, strict=True)
    ]
    return pd.DataFrame({
        "trap": trap, "score": list(names), "mean": means.mean, "ci_low": means.low,
        "ci_high": means.high, "n": means.n, "models": models,
        "lowest_model": by_model.mean().min().to_numpy(), "baseline": means.mean[-1],
        "passes": pd.array(passes, dtype="boolean"),
    }).iloc[:-1]  # fmt: skip


def admission_table(models: Sequence[Planted]) -> pd.DataFrame:
    """`trap,seed,accuracy,flipped,without_cue,drawn,admitted` of every trained model."""
    return pd.DataFrame([
        {
            "trap": model.trap, "seed": model.seed, "accuracy": model.accuracy,
            "flipped": model.flipped, "without_cue": model.without_cue, "drawn": model.drawn,
            "admitted": model.admitted,
        }
        for model in models
    ])  # fmt: skip
