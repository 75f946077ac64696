"""Learning curves: how accuracy grows with the number of training sentences."""

from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from ....errors import BertologyError
from ....stats import wilson
from .over_units import mean_over_units
from .probabilities import check_evaluation, check_label_sets, fit_probes

#: Sizes are halved down to this many sentences, at most so many times.
MIN_SENTENCES, HALVINGS = 10, 8
SUBSETS = 3


def learning_curve(
    estimator: Any,
    X: np.ndarray,
    label_sets: np.ndarray,
    X_eval: np.ndarray,
    eval_label_sets: np.ndarray,
    *,
    sentences: np.ndarray,
    units: np.ndarray,
    subsets: int = SUBSETS,
    seed: int = 0,
) -> pd.DataFrame:
    """Accuracy of probes that learned from more and more sentences.

    Sizes are all sentences, half of them, a quarter, …. The sentences of a smaller size are among
    those of the next larger one. A row for each size: `sentences`, `items` (mean over subsets),
    `value` (accuracy on the `n` evaluation items, mean over subsets) with its interval, `sd` (over
    subsets; all sentences make one subset), `subsets`, `control` (accuracy on control labels, mean
    over draws and subsets), `control_sd` (over draws), and `selectivity`. Intervals are 95 %, from
    a bootstrap over units of the evaluation items; `descriptive` rows have too little data, and
    Wilson's interval.

    Args:
        estimator: a classifier; where its `fit` takes `groups`, these are the sentences.
        X: (training item, …), what it reads; likewise `X_eval`.
        label_sets: (set, training item): the task's own labels, then those of control draws;
            likewise `eval_label_sets`.
        sentences: (training item,), the sentence of each.
        units: (evaluation item,), the document or sentence of each.
        subsets: how many random subsets of each size.

    Raises:
        BertologyError: arrays that do not match, too few sentences, or one label only.
    """
    check_label_sets(X, label_sets)
    check_evaluation(X_eval, eval_label_sets, label_sets)
    if subsets < 1:
        raise BertologyError(f"subsets is {subsets}; give at least 1.")
    present, sentence = np.unique(sentences, return_inverse=True)
    sizes = subset_sizes(len(present))
    ranks = np.stack([
        np.random.default_rng([seed, number]).permutation(len(present))[sentence]
        for number in range(subsets)
    ])  # fmt: skip
    # Where all sentences are learned from, subsets are the same.
    jobs = [
        (size, number) for size in sizes for number in range(subsets if size < sizes[-1] else 1)
    ]
    right: dict[int, list[np.ndarray]] = {size: [] for size in sizes}
    for size, number in tqdm(
        jobs, desc="learning curve", unit="fit", leave=False, dynamic_ncols=True
    ):
        chosen = ranks[number] < size
        probes = fit_probes(estimator, X[chosen], label_sets[:, chosen], sentence[chosen])
        right[size].append(np.stack([
            probe.predict(X_eval) == labels
            for probe, labels in zip(probes, eval_label_sets, strict=True)
        ]))  # fmt: skip
    rows = [
        {"sentences": size, "items": np.mean((ranks < size).sum(axis=1)),
         **_scores(np.stack(right[size]), units, seed)}
        for size in sizes
    ]  # fmt: skip
    return pd.DataFrame(rows)


def subset_sizes(sentences: int) -> list[int]:
    """All sentences, half of them, and so on, smallest first.

    Raises:
        BertologyError: there are too few to halve.
    """
    sizes = [sentences >> halvings for halvings in range(HALVINGS, -1, -1)]
    sizes = [size for size in sizes if size >= MIN_SENTENCES]
    if len(sizes) < 2:
        raise BertologyError(
            f"{sentences} sentences are too few for a learning curve; give at least "
            f"{2 * MIN_SENTENCES}."
        )
    return sizes


def _scores(right: np.ndarray, units: np.ndarray, seed: int) -> dict[str, Any]:
    """The columns of one size.

    Args:
        right: bool (subset, set, item).
    """
    by_subset = right[:, 0].mean(axis=1)
    by_draw = right[:, 1:].mean(axis=(0, 2))
    own = right[:, 0].mean(axis=0)
    control = right[:, 1:].mean(axis=(0, 1)) if len(by_draw) else np.full_like(own, np.nan)
    mean, low, high, few = mean_over_units(np.stack([own, own - control]), units, seed=seed)
    if few:
        low[0], high[0] = wilson(own.sum(), np.array(len(own)))
    return {
        "value": mean[0], "ci_low": low[0], "ci_high": high[0], "n": len(own),
        "sd": by_subset.std(ddof=1) if len(by_subset) > 1 else np.nan,
        "subsets": len(right),
        "control": by_draw.mean() if len(by_draw) else np.nan,
        "control_sd": by_draw.std(ddof=1) if len(by_draw) > 1 else np.nan,
        "selectivity": mean[1],
        "selectivity_ci_low": low[1], "selectivity_ci_high": high[1],
        "descriptive": few,
    }  # fmt: skip
