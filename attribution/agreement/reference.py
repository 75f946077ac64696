"""What agreement with attention is read against: agreement of importance with itself.

Leave-one-out by one operator against another, one seed of a method against another. Neither is
a ceiling, but attention that agrees with importance as closely as this is as good as it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ...errors import AttributionError
from ..erasing import OPERATORS, operator_of, outcomes
from ..goals import measure
from ..means import mean_of, mean_over_units
from ..scores import Scores
from ..targets import Prepared
from ..words import Items, items_of
from .compared import MIN_ITEMS, compare
from .statistics import DEFAULT
from .strata import means_of

#: The row that is the mean over all pairs of each sentence.
PAIRS = "all pairs"
#: Of each version of a score by name, for each text (item,), None where the text has none.
Versions = Mapping[str, Sequence[np.ndarray | None]]


def operators_for(tokenizer: Any) -> tuple[str, ...]:
    """The `OPERATORS` whose token the tokenizer has."""
    tokens = {"mask": tokenizer.mask_token_id, "pad": tokenizer.pad_token_id}
    return tuple(name for name in OPERATORS if tokens.get(name, 0) is not None)


def leave_one_out_versions(
    model: Any, prepared: Prepared, *, unit: str = "word", operators: Sequence[str] | None = None
) -> dict[str, list[np.ndarray | None]]:
    """f(x) − f(x without the item) of every item, by each operator; texts under 6 items have None.

    Args:
        operators: some of `OPERATORS`; all that the tokenizer has a token for unless given.

    Raises:
        AttributionError: an unknown operator or unit, or one that the tokenizer lacks.
    """
    chosen = operators_for(model.tokenizer) if operators is None else operators
    erasers = {name: operator_of(name, model.tokenizer) for name in chosen}
    long_enough, items = _long_enough(prepared, unit)
    goals = [prepared.goals[n] for n in long_enough]
    found: dict[str, list[np.ndarray | None]] = {}
    for name, erase in erasers.items():
        values = outcomes(
            model,
            [prepared.encodings[n] for n in long_enough],
            goals,
            [items[n].removals() for n in long_enough],
            erase,
            measure,
            description=f"leave one out ({name})",
        )
        found[name] = [None] * len(items)
        for n, goal, value in zip(long_enough, goals, values, strict=True):
            found[name][n] = goal.value - value
    return found


def seed_versions(
    method: Callable[..., Sequence[np.ndarray]],
    model: Any,
    prepared: Prepared,
    *,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    unit: str = "word",
) -> dict[str, list[np.ndarray | None]]:
    """The scores that one stochastic method gives with each seed; texts under 6 items have None.

    Args:
        method: (model, encodings, goals, *, seed) to one score per token of each text.
    """
    long_enough, items = _long_enough(prepared, unit)
    encodings = [prepared.encodings[n] for n in long_enough]
    goals = [prepared.goals[n] for n in long_enough]
    found: dict[str, list[np.ndarray | None]] = {}
    for seed in seeds:
        scores = method(model, encodings, goals, seed=seed)
        own: list[np.ndarray | None] = [None] * len(items)
        for n, score in zip(long_enough, scores, strict=True):
            own[n] = items[n].sums(score)
        found[f"seed {seed}"] = own
    return found


def agreement_between(
    versions: Versions,
    items: Sequence[Items],
    units: Sequence[int],
    *,
    seed: int,
    statistics: Sequence[str] = DEFAULT[:1],
    signed: bool = False,
) -> pd.DataFrame:
    """Agreement of every pair of versions, averaged over sentences.

    Returns:
        `score,against,layer,head,statistic,mean,ci_low,ci_high,n,descriptive,chance,null`: each
        pair once, and last, as `all pairs`, the mean over the pairs of each sentence.

    Raises:
        AttributionError: fewer than two versions; and see `compare`.
    """
    names = list(versions)
    if len(names) < 2:
        raise AttributionError(f"Agreement is between two or more versions, not {len(names)}.")
    nothing = np.zeros(0, dtype=int)
    scores = []
    for number, own in enumerate(items):
        named = {name: versions[name][number] for name in names}
        there = {name: score for name, score in named.items() if score is not None}
        scores.append(Scores(own, nothing, nothing, np.zeros((0, len(own))), there))
    compared = compare(
        scores, seed=seed, names=names, against=names, statistics=statistics, signed=signed
    )
    first, second = np.triu_indices(len(names), k=1)
    order = {name: place for place, name in enumerate(names)}
    tables = []
    for place, table in enumerate(means_of(compared, units, seed)):
        once = table["score"].map(order) < table["against"].map(order)
        of_sentence = compared.values[place][:, first, second].mean(1)
        overall = mean_over_units(of_sentence, units, seed)
        row = {
            "score": PAIRS,
            "against": PAIRS,
            "statistic": statistics[place],
            "mean": float(overall.mean),
            "ci_low": float(overall.low),
            "ci_high": float(overall.high),
            "n": int(overall.n),
            "descriptive": bool(overall.descriptive),
            "chance": float(mean_of(compared.chance[place][:, first, second].mean(1))),
            "null": float(mean_of(compared.null[place][:, first, second].mean(1))),
        }
        tables += [table[once], pd.DataFrame([row])]
    return pd.concat(tables, ignore_index=True).astype({"layer": "Int64", "head": "Int64"})


def _long_enough(prepared: Prepared, unit: str) -> tuple[list[int], list[Items]]:
    pairs = zip(prepared.encodings, prepared.goals, strict=True)
    items = [items_of(encoding, goal, unit) for encoding, goal in pairs]
    return [n for n, own in enumerate(items) if len(own) >= MIN_ITEMS], items
