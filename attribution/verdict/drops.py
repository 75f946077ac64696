"""How far the probability falls without the words that come first, text by text."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..agreement import MIN_ITEMS
from ..erasing import outcomes
from ..faithfulness import FRACTIONS
from ..faithfulness.erasure import top_of
from ..faithfulness.rankings import erasers, tie_breaker
from ..goals import probability
from ..targets import Prepared
from ..words import Items


def comprehensiveness(
    model: Any,
    prepared: Prepared,
    items: Sequence[Items],
    rankings: Sequence[np.ndarray],
    *,
    operators: Sequence[str] | None,
    seed: int,
) -> dict[str, np.ndarray]:
    """p(x) − p(x without the top words), averaged over the top 10, 20 and 50 %; see `faithfulness`.

    Args:
        rankings: for each text (ranking, item), highest first; a row with NaN is left out.
        operators: see `faithfulness`.

    Returns:
        By operator (text, ranking), NaN where left out and for texts under 6 items.

    Raises:
        AttributionError: an unknown operator, or nothing would be left of a text.
    """
    generator = tie_breaker(seed)
    kept = [number for number, own in enumerate(items) if len(own) >= MIN_ITEMS]
    there = [~np.isnan(rankings[number]).any(1) for number in kept]
    removals = []
    for number, rows in zip(kept, there, strict=True):
        own, ties = items[number], generator.random(len(items[number]))
        masks = [np.zeros(len(own.of_token), dtype=bool)]
        for row in rankings[number][rows]:
            order = np.lexsort((ties, -row))
            masks += [
                np.isin(own.of_token, order[: top_of(share, len(own))]) for share in FRACTIONS
            ]
        removals.append(masks)
    found = {}
    for name, erase in erasers(model.tokenizer, operators).items():
        values = outcomes(
            model,
            [prepared.encodings[number] for number in kept],
            [prepared.goals[number] for number in kept],
            removals,
            erase,
            probability,
            description=f"comprehensiveness ({name})",
        )
        drops = np.full((len(items), len(rankings[0]) if len(rankings) else 0), np.nan)
        for number, rows, value in zip(kept, there, values, strict=True):
            drops[number, rows] = value[0] - value[1:].reshape(-1, len(FRACTIONS)).mean(1)
        found[name] = drops
    return found
