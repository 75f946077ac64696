"""Minimum description length: what labels cost if a probe learns them as they are sent."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from ....errors import BertologyError
from ....stats import bootstrap_ratio, is_descriptive
from .over_units import sums_over_units
from .probabilities import (
    bits,
    check_gives_probabilities,
    check_label_sets,
    fit_likely,
    label_probabilities,
)  # fmt: skip

#: Where blocks end, in shares of the sentences (Voita & Titov 2020, section 2.2).
FRACTIONS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.0625, 0.125, 0.25, 0.5, 1.0)
#: No block has fewer sentences.
MIN_SENTENCES = 5
ORDERS = 3
#: All in bits; or as the paper's released code counts, where the first block and the uniform
#: code are in bits and the losses of the other blocks in nats, all in units of 1,024.
Convention = Literal["bits", "released"]


@dataclass(frozen=True)
class DescriptionLength:
    """What it costs to send the labels of a task, and of its control draws, block by block."""

    code: np.ndarray
    """(set, order, item), bits: set 0 is the task's own labels, the others are control draws."""
    block: np.ndarray
    """(order, item): the block in which an item is sent."""
    classes: int

    def costs(self, convention: Convention = "bits") -> np.ndarray:
        """(set, order, item): the code in bits, or in the mixed units of the released code."""
        if convention == "bits":
            return self.code
        return self.code * np.where(self.block > 0, np.log(2), 1.0) / 1024

    def uniform(self, convention: Convention = "bits") -> float:
        """The length of the code that knows nothing but how many labels there are."""
        per_item = np.log2(self.classes) / (1 if convention == "bits" else 1024)
        return float(self.code.shape[-1] * per_item)

    def lengths(self, convention: Convention = "bits") -> np.ndarray:
        """(set, order): the length of the online code."""
        return self.costs(convention).sum(axis=-1)

    def blocks(self) -> pd.DataFrame:
        """One row for each set (`labels`: 0 the task's own), order and block.

        `trained_on` counts the items sent before, `items` those of the block, and `bits` and
        `uniform_bits` are what these cost.
        """
        rows = []
        for labels, order in np.ndindex(self.code.shape[:2]):
            items = np.bincount(self.block[order])
            cost = np.bincount(self.block[order], self.code[labels, order])
            rows.append(pd.DataFrame({
                "labels": labels, "order": order, "block": np.arange(len(items)),
                "trained_on": np.cumsum(items) - items, "items": items, "bits": cost,
                "uniform_bits": items * np.log2(self.classes),
            }))  # fmt: skip
        return pd.concat(rows, ignore_index=True)

    def table(
        self, units: np.ndarray, *, seed: int, convention: Convention = "bits"
    ) -> pd.DataFrame:
        """A row for each `metric`, from the mean length over orders.

        `codelength` is the total for the `n` items, `compression` the length of the uniform code
        over it, and `compression_over_control` that of the control labels (mean over draws) over
        it; `sd` is over orders. `control` is the same measure for control labels, mean over draws.
        Intervals are 95 %, from a bootstrap over units of what the items cost: they say nothing
        about probes that learned from other data. With too little data (`descriptive`) there is
        none.

        Args:
            units: (item,), the document or sentence of each item.
        """
        costs = self.costs(convention).mean(axis=1)
        own, n, uniform = costs[0], costs.shape[1], self.uniform(convention)
        lengths = self.lengths(convention)
        measures = [
            _Measure("codelength", own, np.full(n, 1 / n), lengths),
            _Measure("compression", np.full(n, uniform / n), own, uniform / lengths),
        ]
        if len(costs) > 1:
            control = costs[1:].mean(axis=0)
            ratio = lengths[1:].mean(axis=0) / lengths[:1]
            measures.append(_Measure("compression_over_control", control, own, ratio))
        top, counts = sums_over_units(np.stack([each.top for each in measures]), units)
        bottom, _ = sums_over_units(np.stack([each.bottom for each in measures]), units)
        value, low, high = bootstrap_ratio(top, bottom, seed=seed)
        few = bool(is_descriptive(n, len(counts)))
        return pd.DataFrame({
            "metric": [each.name for each in measures],
            "value": value,
            "ci_low": np.where(few, np.nan, low), "ci_high": np.where(few, np.nan, high),
            "n": n,
            "control": [_mean(each.by_order[1:]) for each in measures],
            "sd": [_sd(each.by_order[0]) for each in measures],
            "descriptive": few,
        })  # fmt: skip


@dataclass(frozen=True)
class _Measure:
    """A ratio of sums over items."""

    name: str
    top: np.ndarray
    bottom: np.ndarray
    by_order: np.ndarray
    """(set, order)."""


def description_length(
    estimator: Any,
    X: np.ndarray,
    label_sets: np.ndarray,
    *,
    sentences: np.ndarray,
    orders: int = ORDERS,
    seed: int = 0,
) -> DescriptionLength:
    """The online code of labels (Voita & Titov 2020, section 2.2).

    Sentences are put in random order and sent in blocks (see `block_ends`). The first block is sent
    with the uniform code. Every other one is sent with the probabilities of a probe that learned
    from the blocks before it and nothing else: its regularisation (see `fit_likely`) and the scale
    of the features are chosen on them, too. See `bits` for labels it has not seen.

    Args:
        estimator: a classifier with `predict_proba`; where its `fit` takes `groups`, these are the
            sentences.
        X: (item, …), what the estimator reads.
        label_sets: (set, item): the task's own labels, then those of control draws, all drawn from
            the labels of the task. All are sent with the same blocks.
        sentences: (item,), the sentence of each item; sentences stay whole.
        orders: how many random orders of the sentences.

    Raises:
        BertologyError: too few sentences, one label only, arrays that do not match, or no
            probabilities.
    """
    check_label_sets(X, label_sets)
    check_gives_probabilities(estimator)
    if orders < 1:
        raise BertologyError(f"orders is {orders}; give at least 1.")
    present, sentence = np.unique(sentences, return_inverse=True)
    ends = block_ends(len(present))
    labels, coded = np.unique(label_sets, return_inverse=True)
    coded = coded.reshape(label_sets.shape)
    block = np.stack([
        np.searchsorted(ends, np.random.default_rng([seed, order]).permutation(len(present)),
                        side="right")[sentence]
        for order in range(orders)
    ])  # fmt: skip
    code = np.full((len(coded), *block.shape), np.log2(len(labels)))
    steps = [(order, number) for order in range(orders) for number in range(1, len(ends))]
    for order, number in tqdm(
        steps, desc="description length", unit="block", leave=False, dynamic_ncols=True
    ):
        known, sent = block[order] < number, block[order] == number
        probes = fit_likely(estimator, X[known], coded[:, known], sentence[known])
        features = X[sent]
        for row, (probe, own) in enumerate(zip(probes, coded[:, sent], strict=True)):
            probabilities = label_probabilities(probe, features, own)
            code[row, order, sent] = bits(probabilities, len(labels), int(known.sum()))
    return DescriptionLength(code, block, len(labels))


def block_ends(sentences: int) -> list[int]:
    """After how many sentences each block ends.

    At the shares `FRACTIONS`, except that an end less than `MIN_SENTENCES` after the one before
    is left out, so that its block goes on to the next.

    Raises:
        BertologyError: the sentences do not make two blocks.
    """
    ends: list[int] = []
    for share in FRACTIONS:
        end = round(share * sentences)
        if end - (ends[-1] if ends else 0) >= MIN_SENTENCES:
            ends.append(end)
    if len(ends) < 2:
        raise BertologyError(
            f"{sentences} sentences are too few for an online code: two blocks of at least "
            f"{MIN_SENTENCES} are needed, so give at least {2 * MIN_SENTENCES}."
        )
    return ends


def _mean(lengths: np.ndarray) -> float:
    return float(lengths.mean()) if len(lengths) else float("nan")


def _sd(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")
