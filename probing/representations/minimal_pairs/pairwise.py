"""Fitting pairwise probes: which of two sentences is the good one, from their difference."""

import numpy as np

from ..estimators.linear import fit_together

#: Parts that the pairs of a phenomenon are split into; each is scored by probes of the others.
FOLDS = 5
#: Labellings where chance decides which sentence of a pair is the good one.
CONTROL_DRAWS = 3


def draw_signs(pairs: int, seed: int) -> np.ndarray:
    """(1 + draw, pair): 1 where a labelling takes the good sentence as good, else -1.

    Row 0 is the true labelling.
    """
    drawn = np.random.default_rng([seed, pairs]).choice([-1, 1], size=(CONTROL_DRAWS, pairs))
    return np.concatenate([np.ones((1, pairs), dtype=int), drawn])


def random_folds(paradigms: np.ndarray, units: np.ndarray, *, seed: int) -> np.ndarray:
    """(pair,): the fold in which a pair is scored.

    Every fold has as many units of each paradigm, but for one; units stay whole.
    """
    _, first = np.unique(units, return_index=True)
    order = np.random.default_rng(seed).permutation(len(first))
    order = order[np.argsort(paradigms[first][order], kind="stable")]
    fold = np.empty(len(first), dtype=int)
    fold[order] = np.arange(len(first)) % FOLDS
    return fold[np.unique(units, return_inverse=True)[1]]


def scored_by_others(
    differences: np.ndarray, signs: np.ndarray, parts: np.ndarray, units: np.ndarray, *, seed: int
) -> np.ndarray:
    """Whether probes that never saw a part of the pairs prefer the good sentences in it.

    A probe is logistic regression on differences of features in both orders, good minus bad and
    bad minus good, so it has no intercept and gives every sentence a score of its own (Bradley &
    Terry 1952). Pairs of a unit that lies in the part are not trained on.

    Args:
        differences: (pair, features), good minus bad.
        signs: (labelling, pair), as of `draw_signs`.
        parts: (pair,).

    Returns:
        (labelling, pair): 1, 0, or 0.5 where the probe cannot tell the sentences apart.
    """
    correct = np.full(signs.shape, 0.5)
    if not differences.any():
        return correct
    both = np.concatenate([differences, -differences])
    groups = np.concatenate([units, units])
    labels = [np.concatenate([sign > 0, sign < 0]) for sign in signs]
    names = np.unique(parts)
    trained = [~np.isin(units, units[parts == name]) for name in names]
    probes = fit_together(
        both,
        labels * len(names),
        groups=groups,
        sample_weights=[np.tile(rows, 2).astype(float) for rows in trained for _ in labels],
        seed=seed,
    )
    for number, probe in enumerate(probes):
        part, labelling = divmod(number, len(labels))
        held = parts == names[part]
        margins = differences[held] @ probe.coef_[0] * signs[labelling, held]
        correct[labelling, held] = np.where(margins == 0, 0.5, margins > 0)
    return correct
