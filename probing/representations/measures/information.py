"""Usable information: how many bits about a label a family of probes can get out of a state."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .over_units import mean_over_units
from .probabilities import (
    bits,
    check_evaluation,
    check_gives_probabilities,
    check_label_sets,
    fit_likely,
    label_probabilities,
)  # fmt: skip


@dataclass(frozen=True)
class UsableInformation:
    """What labels cost without and with the input, on items that no probe learned from."""

    without: np.ndarray
    """(set, item), bits, under what is known without any input; set 0 is the task's own labels,
    the others are control draws."""
    given: np.ndarray
    """(set, item), bits, under the probe's probabilities."""

    @property
    def pointwise(self) -> np.ndarray:
        """(set, item), bits: what the input says of each label; negative where it misleads."""
        return self.without - self.given

    def table(self, units: np.ndarray, *, seed: int) -> pd.DataFrame:
        """A row for each `metric`, in bits per item.

        `information` is `entropy` (of the label without input) minus `conditional_entropy` (given
        the input). It can be negative, because it is measured on held-out items. `control` is the
        same for control labels, mean over draws, `selectivity` the difference. Intervals are 95 %,
        from a bootstrap over units; with too little data (`descriptive`) there is none.

        Args:
            units: (item,), the document or sentence of each item.
        """
        bits_of = np.stack([self.without, self.given, self.pointwise])
        own, controls = bits_of[:, 0], bits_of[:, 1:]
        control = controls.mean(axis=1) if controls.shape[1] else np.full_like(own, np.nan)
        mean, low, high, few = mean_over_units(
            np.stack([own, own - control, control]), units, seed=seed
        )
        return pd.DataFrame({
            "metric": ["entropy", "conditional_entropy", "information"],
            "value": mean[0], "ci_low": low[0], "ci_high": high[0],
            "n": own.shape[1],
            "control": mean[2],
            "selectivity": mean[1],
            "selectivity_ci_low": low[1], "selectivity_ci_high": high[1],
            "descriptive": few,
        })  # fmt: skip


def usable_information(
    estimator: Any,
    X: np.ndarray,
    label_sets: np.ndarray,
    X_eval: np.ndarray,
    eval_label_sets: np.ndarray,
    *,
    sentences: np.ndarray,
) -> UsableInformation:
    """V-usable information (Xu et al. 2020), and pointwise (Ethayarajh et al. 2022), out of sample.

    I(X→Y) = H(Y) − H(Y|X), each the mean of −log2 of the probability that a model fitted to the
    training items gives to the label of a held-out one. Without input the most likely model of
    any family is the distribution of the training labels. Both are mixed with a little of the
    uniform distribution, so that labels unseen in training cost a finite number of bits (see
    `bits`).

    Args:
        estimator: a classifier with `predict_proba`; see `fit_likely` for its regularisation.
        X: (training item, …), what it reads; likewise `X_eval`.
        label_sets: (set, training item): the task's own labels, then those of control draws;
            likewise `eval_label_sets`.
        sentences: (training item,), the sentence of each.

    Raises:
        BertologyError: arrays that do not match, one label only, or no probabilities.
    """
    check_label_sets(X, label_sets)
    check_evaluation(X_eval, eval_label_sets, label_sets)
    check_gives_probabilities(estimator)
    probes = fit_likely(estimator, X, label_sets, sentences)
    known = np.unique(np.concatenate([label_sets.ravel(), eval_label_sets.ravel()]))
    trained_on = len(X)
    without, given = [], []
    for probe, learned, labels in zip(probes, label_sets, eval_label_sets, strict=True):
        shares = np.bincount(np.searchsorted(known, learned), minlength=len(known)) / trained_on
        without.append(bits(shares[np.searchsorted(known, labels)], len(known), trained_on))
        given.append(bits(label_probabilities(probe, X_eval, labels), len(known), trained_on))
    return UsableInformation(np.stack(without), np.stack(given))
