"""What is tested and how, fixed before any data are seen."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from ...errors import AttributionError
from ..agreement import STATISTICS
from ..scores import AVAILABLE, IMPORTANCE

AGREES = "agrees with importance"
NEEDED = "needed"
NO_ALTERNATIVE = "no alternative found"
FAITHFUL = "faithful under two operators"
RANKS = "ranks evidence as well as the best method"
CLAIMS = (AGREES, NEEDED, NO_ALTERNATIVE, FAITHFUL, RANKS)
#: Those that need no attention but the model's own.
TEXT_CLAIMS = (AGREES, FAITHFUL, RANKS)


@dataclass(frozen=True)
class Declaration:
    """The claims, scores, margins, tests and budgets; the defaults hold unless others are given.

    Every claim compares the mean effect over texts with a margin, by two one-sided sign-flip tests
    of units at half of `alpha` each, corrected by Holm over the claims declared.

    Raises:
        AttributionError: a claim, score or statistic that does not exist, or a number that is
            out of range.
    """

    claims: tuple[str, ...] = CLAIMS
    score: str = "attention_mean"
    """The primary score read from attention."""
    reference: str = "leave_one_out"
    """The importance that it is to agree with."""
    importance: tuple[str, ...] = IMPORTANCE
    """Among which the best method is looked for, on the other half of the units."""
    statistic: str = "kendall_tau_b"
    agreement_margin: float = 0.1
    """Smallest advantage in agreement over the best floor that counts."""
    needed_margin: float = 0.02
    """By how much more scrambled attention has to move the output than random changes of equal
    norm: total variation (cosine distance of embeddings, absolute change of numbers)."""
    epsilon: float = 0.01
    """How far the output may move for attention to count as an alternative."""
    alternative_margin: float = 0.1
    """Smallest Jensen–Shannon divergence of an alternative that counts, in nats (at most .693);
    with models of other seeds, their own divergence takes its place."""
    steps: int = 40
    restarts: int = 2
    """The budget of the search: steps of each start, and starts at most; a text gets another
    start only while nothing was found for it."""
    faithfulness_margin: float = 0.02
    """Smallest advantage in comprehensiveness over a random ranking that counts, in probability
    (for an embedding in shares of its intact projection, for a pair in cosine)."""
    operators: tuple[str, ...] = ()
    """How words are erased; unless given, `delete` and `mask` (`pad` without a mask token)."""
    rank_margin: float = 0.05
    """How much less comprehensive than the best importance method still counts as equal."""
    texts: int = 100
    """Other attention is tried on at most this many texts, drawn with the seed."""
    alpha: float = 0.05

    def __post_init__(self) -> None:
        for name in ("claims", "importance", "operators"):
            # Lists are what a file gives.
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if problem := self._problem():
            raise AttributionError(f"The declaration cannot be tested: {problem}.")

    def _problem(self) -> str:
        if unknown := [name for name in self.claims if name not in CLAIMS]:
            return f"there is no claim {unknown[0]!r}; there are {', '.join(CLAIMS)}"
        for name in (self.score, self.reference, *self.importance):
            if name not in AVAILABLE:
                return f"score is {name!r}; give some of {', '.join(AVAILABLE)}"
        if not STATISTICS.get(self.statistic) or not STATISTICS[self.statistic].higher_is_closer:
            closer = [name for name, own in STATISTICS.items() if own.higher_is_closer]
            return f"statistic is {self.statistic!r}; give one of {', '.join(closer)}"
        if self.operators and len(set(self.operators)) != 2:
            return f"operators are {self.operators}; give two"
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and value <= 0:
                return f"{field.name} is {value}; give a number above 0"
        return ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a record; `Declaration(**record)` is the same declaration."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }
