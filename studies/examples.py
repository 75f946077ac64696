"""Hits and misses of heads, cut into words for the page."""

from dataclasses import dataclass
from typing import Any

from ..probing.heads import HeadAnalysis
from .summary import ALPHA


@dataclass(frozen=True)
class Shown:
    """One drawn prediction, cut into words with their part in it."""

    correct: bool
    words: list[tuple[str, str]]
    """(word, role): role is dependent, gold, predicted, both (gold and predicted) or empty."""


def shown_examples(heads: HeadAnalysis) -> list[tuple[str, list[Shown]]]:
    """Hits and misses of the heads that held up, by relation."""
    if heads.examples.empty:
        return []
    held = heads.best[(heads.best["p_adjusted"] < ALPHA)]["relation"]
    groups = []
    for (relation, direction, layer, head), rows in heads.examples.groupby(
        ["relation", "direction", "layer", "head"], sort=False
    ):
        if relation in set(held) and relation not in ("all", "punct"):
            title = f"{relation}, L{layer}H{head} ({str(direction).replace('_', ' ')})"
            groups.append((title, [_shown(row) for row in rows.to_dict("records")]))
    return groups


def _shown(fields: Any) -> Shown:
    words = []
    for position, word in enumerate(fields["words"].split(" ")):
        role = ""
        if position == fields["dependent"]:
            role = "dependent"
        elif position == fields["gold"]:
            role = "both" if fields["correct"] else "gold"
        elif position == fields["predicted"]:
            role = "predicted"
        words.append((word, role))
    return Shown(bool(fields["correct"]), words)
