"""Texts that people revised until the label changed: does the evidence move to the revision?

Kaushik, Hovy and Lipton 2020, Learning the difference that makes a difference.
"""

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher

import numpy as np
import pandas as pd

from ...stats import max_t
from ..means import mean_over_units


def revised_words(first: Sequence[str], second: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Which words of each text the other has not in their place: two (word,) bool arrays.

    Words are compared without case, by the longest common blocks.
    """
    left, right = np.zeros(len(first), dtype=bool), np.zeros(len(second), dtype=bool)
    matcher = SequenceMatcher(
        None, [word.lower() for word in first], [word.lower() for word in second], autojunk=False
    )
    for tag, start, end, begin, stop in matcher.get_opcodes():
        if tag != "equal":
            left[start:end] = right[begin:stop] = True
    return left, right


def moved_evidence(
    scores: Sequence[Mapping[str, np.ndarray]],
    revised: Sequence[np.ndarray],
    units: Sequence[int],
    *,
    seed: int,
) -> pd.DataFrame:
    """The share of each score that lies on revised words, against their share of the words.

    A share is of the absolute scores. Texts without a revised word, or with nothing else, and
    scores that are 0 everywhere are left out. Pairs should be one unit.

    Args:
        scores: of each text, by name, (word,).
        revised: of each text, (word,) bool, from `revised_words`.

    Returns:
        `score,mean,ci_low,ci_high,n,baseline,difference,difference_low,difference_high,
        p_adjusted,descriptive`; `difference` = share − baseline, paired. `p_adjusted`: two-sided
        sign-flips of units, with max-T over the scores; NaN where there is too little data.
    """
    names = list(dict.fromkeys(name for own in scores for name in own))
    shares = np.full((len(scores), len(names), 2), np.nan)
    for number, (own, marked) in enumerate(zip(scores, revised, strict=True)):
        if marked.all() or not marked.any():
            continue
        for place, name in enumerate(names):
            size = np.abs(own[name]) if name in own else np.zeros(len(marked))
            if size.sum() > 0:
                shares[number, place] = size[marked].sum() / size.sum(), marked.mean()
    means = mean_over_units(shares, units, seed)
    differences = shares[..., 0] - shares[..., 1]
    gains = mean_over_units(differences, units, seed)
    of_unit = np.unique(np.asarray(units), return_inverse=True)[1]
    sums = np.zeros((of_unit.max() + 1, len(names)))
    np.add.at(sums, of_unit, np.nan_to_num(differences))
    return pd.DataFrame({
        "score": names, "mean": means.mean[:, 0], "ci_low": means.low[:, 0],
        "ci_high": means.high[:, 0], "n": means.n[:, 0], "baseline": means.mean[:, 1],
        "difference": gains.mean, "difference_low": gains.low, "difference_high": gains.high,
        "p_adjusted": np.where(gains.descriptive, np.nan, max_t(sums, seed=seed)),
        "descriptive": gains.descriptive,
    })  # fmt: skip
