"""The verdict: whether the data bear out what was declared beforehand."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from ...stats import holm, sign_flip
from ..means import Means, mean_over_units
from .claim import BEYOND_SEEDS, INCONCLUSIVE, REFUTED, SUPPORTED, Claim
from .declaration import AGREES, FAITHFUL, NEEDED, NO_ALTERNATIVE, RANKS, Declaration
from .evidence import COLUMNS
from .wording import sentence_of

#: Claims that an effect is larger than a margin above 0, which equivalence with 0 refutes.
SUPERIOR = (AGREES, NEEDED, FAITHFUL)


@dataclass(frozen=True)
class Verdict:
    """What was declared, and how each claim fared."""

    declared: Declaration
    claims: tuple[Claim, ...]
    between_importance_measures: dict[str, float | None]
    """Mean τ-b of each pair: what the agreement of attention is read against, not a ceiling."""
    provenance: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Of each result that gave evidence."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {
            "declared": self.declared.as_dict(),
            "claims": [asdict(claim) for claim in self.claims],
            "between_importance_measures": self.between_importance_measures,
            "provenance": self.provenance,
        }


@dataclass(frozen=True)
class _Tested:
    """The evidence for one claim, tested; of several parts the weakest is shown."""

    part: str
    shown: Means | None
    clear: int
    """1 if the intervals of all parts lie where the claim needs them, -1 if that of the weakest
    lies on the other side of the margin, else 0."""
    supports: bool
    """Whether the smaller of the two one-sided p-values speaks for the claim."""
    p: float
    n: int
    units: int


def judge(
    evidence: pd.DataFrame,
    declared: Declaration | None = None,
    *,
    seed: int = 0,
    between: Mapping[str, float | None] | None = None,
    provenance: Mapping[str, dict[str, Any]] | None = None,
) -> Verdict:
    """Test every claim declared against its margin.

    Supported: the effect is significantly on the claimed side of the margin, and so is its whole
    95 % interval. Refuted: the effect is significantly on the other side, and so is its whole
    interval. For a claim of an advantage above a margin this is the upper one of two one-sided
    equivalence tests; where the lower one holds too (the interval lies within ± the margin),
    `equivalent` says so, and where it does not the effect may be a disadvantage. A claim about
    several parts (operators) is supported if each part supports it (the largest p counts) and
    refuted if one of them refutes it (the smallest, times their number). Below 30 texts or 10
    units, or without evidence, a claim is inconclusive and has no p.

    Args:
        evidence: `claim,part,example,unit,value`, one number a text; larger values of the claim
            `no alternative found` speak against it, of every other claim for it.
        seed: of the bootstrap and the sign-flips.
        between: agreement of the importance measures with each other.
    """
    own = declared or Declaration()
    by_claim = dict(iter(evidence[list(COLUMNS)].groupby("claim", sort=False)))
    nothing = evidence.iloc[:0]
    tested = []
    for claim in own.claims:
        found = by_claim.get(claim, nothing)
        margin, side = _margin(claim, own, found["part"])
        tested.append((claim, margin, side, _test(found, margin, side, seed)))
    adjusted = holm(np.array([test.p for *_, test in tested]))
    claims = [
        _claim(claim, margin, side, test, float(p), own)
        for (claim, margin, side, test), p in zip(tested, adjusted, strict=True)
    ]
    return Verdict(own, tuple(claims), dict(between or {}), dict(provenance or {}))


def _margin(claim: str, declared: Declaration, parts: pd.Series) -> tuple[float, str]:
    """What the effect of a claim is compared with, and on which side of it it must lie."""
    if claim == NO_ALTERNATIVE:
        # Models of other seeds are themselves the margin.
        return (0.0 if (parts == BEYOND_SEEDS).any() else declared.alternative_margin), "below"
    margins = {
        AGREES: declared.agreement_margin,
        NEEDED: declared.needed_margin,
        FAITHFUL: declared.faithfulness_margin,
        RANKS: -declared.rank_margin,
    }
    return margins[claim], "above"


def _test(evidence: pd.DataFrame, margin: float, side: str, seed: int) -> _Tested:
    sign = 1 if side == "above" else -1
    if evidence.empty:
        return _Tested("", None, 0, False, np.nan, 0, 0)
    parts = list(evidence.groupby("part", sort=False))
    means, p_for, p_against = [], [], []
    for _, part in parts:
        values, units = part["value"].to_numpy(), part["unit"].tolist()
        means.append(mean_over_units(values, units, seed))
        beyond = _unit_sums(sign * (values - margin), units)
        p_for.append(float(sign_flip(beyond, seed=seed, two_sided=False)))
        p_against.append(float(sign_flip(-beyond, seed=seed, two_sided=False)))
    weakest = int(np.argmin([sign * float(own.mean) for own in means]))
    shown = means[weakest]
    supported, refuted = max(p_for), min(1.0, len(parts) * min(p_against))
    descriptive = any(bool(own.descriptive) for own in means)
    within = [_beyond(own, margin, sign) for own in means]
    clear = 1 if min(within) == 1 else -1 if within[weakest] == -1 else 0
    return _Tested(
        part=str(parts[weakest][0]),
        shown=shown,
        clear=clear,
        supports=supported <= refuted,
        p=np.nan if descriptive else min(1.0, 2 * min(supported, refuted)),
        n=int(min(int(own.n) for own in means)),
        units=int(min(int(own.units) for own in means)),
    )


def _beyond(own: Means, margin: float, sign: int) -> int:
    """1 if the interval lies on the claimed side of the margin, -1 if on the other, else 0."""
    low, high = sorted((sign * (float(own.low) - margin), sign * (float(own.high) - margin)))
    return 1 if low > 0 else -1 if high < 0 else 0


def _unit_sums(values: np.ndarray, units: Sequence[int]) -> np.ndarray:
    return np.bincount(np.unique(np.asarray(units), return_inverse=True)[1], weights=values)


def _claim(
    claim: str, margin: float, side: str, test: _Tested, p: float, declared: Declaration
) -> Claim:
    outcome = INCONCLUSIVE
    if p < declared.alpha:
        if test.supports and test.clear == 1:
            outcome = SUPPORTED
        elif not test.supports and test.clear == -1:
            outcome = REFUTED
    effect = low = high = None
    if test.shown is not None:
        effect, low, high = (
            float(own) for own in (test.shown.mean, test.shown.low, test.shown.high)
        )
        if np.isnan(low):  # One unit has no interval.
            low = high = None
    equivalent = None
    if claim in SUPERIOR and low is not None and high is not None:
        equivalent = -margin < low and high < margin
    known = not np.isnan(p)
    found = Claim(
        claim=claim,
        outcome=outcome,
        part=test.part,
        effect=effect,
        ci_low=low,
        ci_high=high,
        margin=margin,
        side=side,
        equivalent=equivalent,
        p=test.p if known else None,
        p_adjusted=p if known else None,
        n=test.n,
        units=test.units,
        sentence="",
    )
    return replace(found, sentence=sentence_of(found, declared))
