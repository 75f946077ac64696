"""From tokens to what is scored: words, or single tokens."""

from dataclasses import dataclass

import numpy as np

from ..corpora import Encoding
from ..errors import AttributionError
from .goals import Goal

UNITS = ("word", "token")


@dataclass(frozen=True)
class Items:
    """The words, or tokens, of one text that get a score; specials and masked words do not."""

    names: tuple[str, ...]
    indices: np.ndarray
    """(item,) index of the word in its sentence, or of the token in its encoding."""
    of_token: np.ndarray
    """(token,) the item a token belongs to, -1 for none."""

    def __len__(self) -> int:
        return len(self.names)

    def sums(self, scores: np.ndarray) -> np.ndarray:
        """Scores (…, token) summed over the tokens of each item: (…, item)."""
        return scores @ (self.of_token[:, None] == np.arange(len(self))).astype(float)

    def removals(self) -> list[np.ndarray]:
        """For each item, which tokens are its own: (token,) bool."""
        return [self.of_token == item for item in range(len(self))]


def items_of(encoding: Encoding, goal: Goal, unit: str) -> Items:
    """The items of a text; words without tokens are none.

    Raises:
        AttributionError: `unit` is neither `word` nor `token`.
    """
    if unit not in UNITS:
        raise AttributionError(f"unit is {unit!r}; give one of {', '.join(UNITS)}.")
    own = encoding.words if unit == "word" else np.arange(len(encoding))
    own = np.where(goal.scored, own, -1)
    indices = np.unique(own[own >= 0])
    names = encoding.sentence.words if unit == "word" else encoding.tokens
    return Items(
        names=tuple(names[i] for i in indices),
        indices=indices,
        of_token=np.where(own >= 0, np.searchsorted(indices, own), -1),
    )
