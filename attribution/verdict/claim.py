"""One claim about attention, tested."""

from dataclasses import dataclass

SUPPORTED, REFUTED, INCONCLUSIVE = "supported", "refuted", "inconclusive"
#: The part of the evidence on alternatives that is compared with models of other seeds.
BEYOND_SEEDS = "beyond other seeds"


@dataclass(frozen=True)
class Claim:
    """One claim about attention, with the evidence."""

    claim: str
    outcome: str
    """`supported`, `refuted` or `inconclusive`."""
    part: str
    """What the numbers are of: of several parts (operators) the one that speaks least for it."""
    effect: float | None
    """Mean over texts; None where nothing was measured."""
    ci_low: float | None
    ci_high: float | None
    margin: float
    """What the effect is compared with."""
    side: str
    """`above` or `below`: where the effect must lie for the claim to hold."""
    equivalent: bool | None
    """Whether the interval lies within ± the margin: the effect is as good as none; None for
    claims that are no claims of an advantage."""
    p: float | None
    """Two-sided sign-flips of units, of effect and margin being equal; None for too little data."""
    p_adjusted: float | None
    """Holm over the claims declared."""
    n: int
    """Texts."""
    units: int
    """Units (documents or sentences) that these belong to."""
    sentence: str
