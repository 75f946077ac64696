"""How far p falls when the words that come first are erased, or all others, text by text."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..agreement import MIN_ITEMS
from ..erasing import outcomes
from ..goals import probability
from ..targets import Prepared
from ..words import Items
from .rankings import erasers, orders, tie_breaker

FRACTIONS = (0.1, 0.2, 0.5)
METRICS = ("comprehensiveness", "sufficiency")


def mean_drops(
    model: Any,
    prepared: Prepared,
    items: Sequence[Items],
    ordered: Mapping[int, Sequence[np.ndarray | None]],
    rankings: int,
    *,
    operators: Sequence[str] | None,
    shares: Sequence[float] = FRACTIONS,
    metrics: Sequence[str] = METRICS,
    description: str = "faithfulness",
) -> dict[str, np.ndarray]:
    """p(x) − p(x without the top words) and p(x) − p(only these), averaged over the shares.

    Args:
        ordered: of the texts that are measured, by number, the items of each ranking from the
            highest down; None for a ranking that the text lacks.
        rankings: how many there are of each text.
        operators: see `faithfulness`.

    Returns:
        By operator (metric, text, ranking), NaN where there is no ranking.

    Raises:
        AttributionError: an unknown operator, or nothing would be left of a text.
    """
    removals = [_removals(items[n], own, shares, metrics) for n, own in ordered.items()]
    found = {}
    for name, erase in erasers(model.tokenizer, operators).items():
        values = outcomes(
            model,
            [prepared.encodings[n] for n in ordered],
            [prepared.goals[n] for n in ordered],
            removals,
            erase,
            probability,
            description=f"{description} ({name})",
        )
        drops = np.full((len(metrics), len(items), rankings), np.nan)
        for (n, own), value in zip(ordered.items(), values, strict=True):
            erased = value[1:].reshape(-1, len(metrics), len(shares)).mean(2)
            there = [order is not None for order in own]
            drops[:, n, there] = (value[0] - erased).T
        found[name] = drops
    return found


def comprehensiveness(
    model: Any,
    prepared: Prepared,
    items: Sequence[Items],
    rankings: Sequence[np.ndarray],
    *,
    operators: Sequence[str] | None,
    seed: int,
) -> dict[str, np.ndarray]:
    """Comprehensiveness as in `faithfulness`, of rankings that are given.

    Args:
        rankings: for each text (ranking, item), highest first; a row with NaN is left out.
        operators: see `faithfulness`.

    Returns:
        By operator (text, ranking), NaN where left out and for texts under 6 items.

    Raises:
        AttributionError: an unknown operator, or nothing would be left of a text.
    """
    generator = tie_breaker(seed)
    ordered = {
        n: orders([None if np.isnan(row).any() else row for row in rankings[n]], generator)
        for n, own in enumerate(items)
        if len(own) >= MIN_ITEMS
    }
    found = mean_drops(
        model, prepared, items, ordered, len(rankings[0]) if len(rankings) else 0,
        operators=operators, metrics=METRICS[:1], description="comprehensiveness",
    )  # fmt: skip
    return {name: drops[0] for name, drops in found.items()}


def _removals(
    items: Items,
    ordered: Sequence[np.ndarray | None],
    shares: Sequence[float],
    metrics: Sequence[str],
) -> list[np.ndarray]:
    """Token masks: nothing, then for each ranking the top words, then all but the top words."""
    removals = [np.zeros(len(items.of_token), dtype=bool)]
    for order in ordered:
        if order is None:
            continue
        tops = [np.isin(items.of_token, order[: top_of(share, len(items))]) for share in shares]
        if "comprehensiveness" in metrics:
            removals += tops
        if "sufficiency" in metrics:
            removals += [(items.of_token >= 0) & ~top for top in tops]
    return removals


def top_of(share: float, items: int) -> int:
    """How many items are the top; at least one, and none only for a share of 0."""
    # Half a word counts as one; Python's own rounding would send .5 to the even number.
    return max(1, int(share * items + 0.5)) if share else 0
