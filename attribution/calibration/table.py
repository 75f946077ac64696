"""Every score on models whose evidence is known: which of them fail on a known case."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from ...corpora import Example
from ...models import LoadedModel
from ..from_attention import attention_scores
from ..means import mean_over_units
from ..plausibility import precision_recall_area
from ..targets import prepare
from ..words import items_of
from .training import Planted

#: As the methods of `attribution.methods`: (model, encodings, goals, *, seed) to token scores.
Method = Callable[..., Sequence[np.ndarray | None]]
#: A score passes where the interval of its mean average precision is not below this, and fails
#: where it is.
PASSED = 0.9
#: Names of the best head's row, and of what a random order reaches.
BEST_HEAD, BASELINE = "attention_best_head", "baseline"


def measure_planted(
    model: LoadedModel,
    examples: Sequence[Example],
    methods: Mapping[str, Method],
    *,
    seed: int = 0,
) -> pd.DataFrame:
    """How well each score ranks the planted evidence of each text first.

    The measure is average precision of absolute word scores; 1 is perfect. Beside the methods
    there are `attention_best_head`, the head that does best on one half of the texts read on the
    other half, and `baseline`, the mean over all orders of the words.

    Returns:
        `text,score,value`; `value` is NaN where a method gives no score.
    """
    prepared = prepare(model, examples)
    encodings, goals = prepared.encodings, prepared.goals
    items = [items_of(e, goal, "word") for e, goal in zip(encodings, goals, strict=True)]
    rationales = [
        np.array(examples[number].rationale)[own.indices]
        for number, own in zip(prepared.kept, items, strict=True)
    ]

    def precisions(scores: Sequence[np.ndarray | None]) -> list[float]:
        return [
            np.nan if score is None else precision_recall_area(np.abs(own.sums(score)), rationale)
            for own, score, rationale in zip(items, scores, rationales, strict=True)
        ]

    found = {
        name: precisions(method(model, encodings, goals, seed=seed))
        for name, method in methods.items()
    }
    maps = [own.attention for own in attention_scores(model, encodings, goals)]
    heads = np.array([precisions([own[head] for own in maps]) for head in range(len(maps[0]))])
    found[BEST_HEAD] = list(_of_best_head(heads))
    found[BASELINE] = [expected_precision(len(own), int(own.sum())) for own in rationales]
    return pd.DataFrame({"text": prepared.kept} | found).melt("text", var_name="score")


def calibration_table(measured: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Which scores find the evidence, by trap.

    Texts are resampled, those of all models of a trap together, and models are as they are:
    intervals are about these models, and `model_sd` says how much others may differ.

    Args:
        measured: `trap,seed,text,score,value`, from `measure_planted` for each admitted model.

    Returns:
        `trap,score,mean,ci_low,ci_high,n,models,model_sd,lowest_model,baseline,difference,
        difference_low,difference_high,passes,descriptive`. `n` counts texts, `model_sd` and
        `lowest_model` are over the means of single models, `difference` is paired by text with
        `baseline`.
        `passes` is empty (NA) where the interval holds .9 inside and where there are too few
        texts (`descriptive`). A score that no text has got has no row.
    """
    parts = [
        _part(str(trap), own.pivot(index=["seed", "text"], columns="score", values="value"), seed)
        for trap, own in measured.groupby("trap", sort=False)
    ]
    return pd.concat(parts, ignore_index=True)


def admission_table(models: Sequence[Planted]) -> pd.DataFrame:
    """`trap,seed,accuracy,flipped,without_cue,drawn,certainty,spared,admitted`, a row a model."""
    return pd.DataFrame([
        {
            "trap": model.trap, "seed": model.seed, "accuracy": model.accuracy,
            "flipped": model.flipped, "without_cue": model.without_cue, "drawn": model.drawn,
            "certainty": model.certainty, "spared": model.spared, "admitted": model.admitted,
        }
        for model in models
    ])  # fmt: skip


def expected_precision(words: int, marked: int) -> float:
    """Average precision of a random order of words, in the mean (Bestgen 2015, equation 7)."""
    first = float((1 / np.arange(1, words + 1)).mean())
    return first if words == 1 else first + (marked - 1) / (words - 1) * (1 - first)


def _of_best_head(values: np.ndarray) -> np.ndarray:
    """(text,) of (head, text): of each half the head that has the highest mean on the other.

    Classes take turns, so pairs of texts do.
    """
    halves = np.arange(values.shape[1]) // 2 % 2
    found = np.empty(values.shape[1])
    for half in (0, 1):
        best = values[:, halves != half].mean(1).argmax()
        found[halves == half] = values[best, halves == half]
    return found


def _part(trap: str, values: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The rows of a trap, from values (model and text, score)."""
    baseline, own = values[BASELINE], values.drop(columns=BASELINE).dropna(axis=1, how="all")
    units = range(len(own))
    means = mean_over_units(own.to_numpy(), units, seed)
    apart = mean_over_units(own.sub(baseline, axis=0).to_numpy(), units, seed)
    by_model = own.groupby("seed").mean()
    passes = [
        pd.NA if few else True if low >= PASSED else False if high < PASSED else pd.NA
        for low, high, few in zip(means.low, means.high, means.descriptive, strict=True)
    ]
    return pd.DataFrame({
        "trap": trap, "score": own.columns, "mean": means.mean, "ci_low": means.low,
        "ci_high": means.high, "n": means.n, "models": len(by_model),
        "model_sd": by_model.std().to_numpy(), "lowest_model": by_model.min().to_numpy(),
        "baseline": baseline.mean(), "difference": apart.mean, "difference_low": apart.low,
        "difference_high": apart.high, "passes": pd.array(passes, dtype="boolean"),
        "descriptive": means.descriptive,
    })  # fmt: skip
