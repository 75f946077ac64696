"""Every hidden state of one model against every one of another: linear CKA and RSA."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...capture import Shards
from ...stats import MIN_COUNTS, MIN_UNITS
from .reading import rank_within
from .similarity import (
    Kernel,
    cka,
    dissimilarity_ranks,
    hsic,
    jackknife_interval,
    permuted_rsa,
)

#: Fewer tokens per dimension make even an unbiased estimate too rough to report as more than
#: descriptive.
ENOUGH = 10
#: Blocks of units that the jackknife leaves out in turn.
BLOCKS = 20
#: Tokens whose pairs RSA looks at, and permutations of the Mantel test.
RSA_TOKENS, PERMUTATIONS = 200, 999
#: `cka_standardised` gives each dimension the same variance, so that no outlier dimension decides.
MEASURES = ("cka", "cka_standardised", "rsa")


@dataclass(frozen=True)
class States:
    """Hidden states of the same tokens in two models."""

    first: np.ndarray
    """(token, hidden_state, hidden)."""
    second: np.ndarray
    units: np.ndarray
    """(token,)."""

    @property
    def width(self) -> int:
        return max(self.first.shape[2], self.second.shape[2])


def gather_states(shards: Shards, counts: np.ndarray, units: np.ndarray) -> States:
    """The states that a pass kept, text by text.

    Args:
        counts: (text,), how many tokens or words were drawn of each.
        units: (text,).
    """
    parts = []
    for name in ("first_states", "second_states"):
        found = {text: rows.copy() for text, rows in shards.split(name, counts)}
        parts.append(np.concatenate([found[text] for text in range(len(counts))]))
    return States(parts[0], parts[1], np.repeat(units, counts))


def representation_table(states: States, null_model: States | None, *, seed: int) -> pd.DataFrame:
    """One row per measure and pair of hidden states (`layer` of the first, `other_layer`).

    `value` with its 95 % interval from a jackknife over units; `null` is the same with the rows
    of the second model permuted (RSA: mean of the permutations); `p_adjusted`, of RSA alone, is
    the Mantel test's, adjusted by the largest ρ of each permutation over all pairs; `null_model`
    is the value between the first model and the null model. Rows of fewer than 10 tokens a
    dimension (RSA: 30 tokens in all) or of fewer than 10 units are `descriptive`, without p.
    """
    parts = [
        *(_cka_table(states, null_model, measure, seed) for measure in MEASURES[:2]),
        _rsa_table(states, null_model, seed),
    ]
    return pd.concat(parts, ignore_index=True)


def _cka_table(states: States, null_model: States | None, measure: str, seed: int) -> pd.DataFrame:
    shuffled = np.random.default_rng(seed).permutation(len(states.units))
    standardise = measure == "cka_standardised"
    number = np.unique(states.units, return_inverse=True)[1]
    values = _all_cka(states.first, states.second, standardise, number % BLOCKS)
    null = _all_cka(states.first, states.second[shuffled], standardise)[0]
    reference = None
    if null_model is not None:
        reference = _all_cka(null_model.first, null_model.second, standardise)[0]
    tokens, units = len(states.units), int(number.max()) + 1
    few = tokens < ENOUGH * states.width or units < MIN_UNITS
    return _rows(measure, values, null, reference, n=tokens, descriptive=few)


def _all_cka(
    first: np.ndarray, second: np.ndarray, standardise: bool, blocks: np.ndarray | None = None
) -> np.ndarray:
    """(1 + block, layer, other layer), for all tokens and without each block of them."""

    def kernels(states: np.ndarray) -> Iterator[Kernel]:
        for layer in range(states.shape[1]):
            own = states[:, layer]
            yield Kernel.of(_standardised(own) if standardise else own, blocks)

    own_second = [hsic(kernel, kernel) for kernel in kernels(second)]
    found = []
    for kernel in kernels(first):
        own = hsic(kernel, kernel)
        # Formed again for each layer of the first model: all at once would fill the memory.
        crossed = (hsic(kernel, other) for other in kernels(second))
        found.append([cka(one, own, other) for one, other in zip(crossed, own_second, strict=True)])
    return np.moveaxis(np.array(found), 2, 0)


def _rsa_table(states: States, null_model: States | None, seed: int) -> pd.DataFrame:
    places = _spread(states.units, seed)  # (unit, token)
    units, group = places.shape
    blocks = np.repeat(np.arange(units) % BLOCKS, group)
    chosen = places.ravel()
    first, second = states.first[chosen], states.second[chosen]
    values = [_all_ranks(first) @ _all_ranks(second).T]
    for block in range(blocks.max() + 1):
        kept = blocks != block
        values.append(_all_ranks(first[kept]) @ _all_ranks(second[kept]).T)
    permuted = permuted_rsa(
        _all_ranks(first), _all_ranks(second), group, draws=PERMUTATIONS, seed=seed
    )
    # A permutation that changes nothing gives the value itself but for rounding.
    largest = permuted.max((1, 2))[:, None, None] >= values[0] - 1e-9
    few = len(chosen) < MIN_COUNTS or units < MIN_UNITS
    p = np.full_like(values[0], np.nan) if few else (1 + largest.sum(0)) / (1 + PERMUTATIONS)
    reference = None
    if null_model is not None:
        reference = _all_ranks(null_model.first[chosen]) @ _all_ranks(null_model.second[chosen]).T
    table = _rows("rsa", np.array(values), permuted.mean(0), reference, n=len(chosen),
                  descriptive=few)  # fmt: skip
    return table.assign(p_adjusted=p.ravel())


def _all_ranks(states: np.ndarray) -> np.ndarray:
    return np.stack([dissimilarity_ranks(states[:, layer]) for layer in range(states.shape[1])])


def _spread(units: np.ndarray, seed: int) -> np.ndarray:
    """About `RSA_TOKENS` tokens, as many of each unit, so that units can be exchanged.

    Units that have fewer are left out; of more units than tokens, some are drawn.

    Returns:
        (unit, token), places among the tokens.
    """
    generator = np.random.default_rng(seed)
    counts = np.bincount(units)
    counts = counts[counts > 0]
    group = max(1, min(RSA_TOKENS // len(counts), int(np.median(counts))))
    order = generator.permutation(len(units))
    own = units[order]
    chosen = order[(rank_within(own) < group) & (np.bincount(units)[own] >= group)]
    places = chosen[np.argsort(units[chosen], kind="stable")].reshape(-1, group)
    most = min(len(places), RSA_TOKENS // group)
    return places[np.sort(generator.choice(len(places), most, replace=False))]


def _standardised(states: np.ndarray) -> np.ndarray:
    spread = states.std(0)
    return states / np.where(spread > 0, spread, 1.0).astype(states.dtype)


def _rows(
    measure: str,
    values: np.ndarray,
    null: np.ndarray,
    null_model: np.ndarray | None,
    *,
    n: int,
    descriptive: bool,
) -> pd.DataFrame:
    """
    Args:
        values: (1 + block, layer, other layer).
        null: (layer, other layer).
    """
    _, layers, others = values.shape
    intervals = [jackknife_interval(one) for one in values.reshape(len(values), -1).T]
    index = pd.MultiIndex.from_product(
        [range(layers), range(others)], names=["layer", "other_layer"]
    )
    table = pd.DataFrame(
        {
            "measure": measure,
            "value": values[0].ravel(),
            "ci_low": [low for low, _ in intervals],
            "ci_high": [high for _, high in intervals],
            "n": n,
            "null": null.ravel(),
            "p_adjusted": np.nan,
            "null_model": _same_depth(null_model, layers, others).ravel(),
            "descriptive": descriptive,
        },
        index=index,
    )
    return table.reset_index()


def _same_depth(null_model: np.ndarray | None, layers: int, others: int) -> np.ndarray:
    """Values with the null model at each pair of layers; NaN at layers that it lacks."""
    found = np.full((layers, others), np.nan)
    if null_model is not None:
        there = null_model[:, :others]
        found[:, : there.shape[1]] = there
    return found
