"""The verdict: what was declared beforehand, and whether the data bear it out."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from .faithfulness import ADVANTAGE

SUPPORTED, REFUTED, INCONCLUSIVE = "supported", "refuted", "inconclusive"


@dataclass(frozen=True)
class Declaration:
    """What is tested, fixed before any data are seen."""

    score: str = "attention_mean"
    reference: str = "leave_one_out"
    statistic: str = "kendall_tau_b"
    agreement_margin: float = 0.1
    """Smallest advantage in τ-b over the best floor that counts."""
    faithfulness_margin: float = 0.05
    """Smallest advantage over a random ranking that counts, in probability (for an embedding
    in shares of its intact projection, for a pair in cosine)."""
    agreement_test: str = (
        "mean over sentences of Kendall's tau-b between absolute word scores and the reference, "
        "minus that of the best floor (chosen on the other half of the units)"
    )
    faithfulness_test: str = (
        "mean over sentences and operators of (rise in comprehensiveness + fall in sufficiency)/2 "
        "against a random ranking"
    )
    rule: str = (
        "supported: the 95 % bootstrap interval over units lies above the margin; refuted: it "
        "lies below the margin; else, or with under 30 sentences or 10 units, inconclusive"
    )


@dataclass(frozen=True)
class Claim:
    """One claim about attention, with the evidence."""

    claim: str
    outcome: str
    """`supported`, `refuted` or `inconclusive`."""
    effect: float | None
    """The advantage over the floor; None where nothing could be measured."""
    ci_low: float | None
    ci_high: float | None
    margin: float
    n: int
    """Sentences."""
    sentence: str


@dataclass(frozen=True)
class Verdict:
    """The claims, and how well the importance measures agree with each other."""

    declared: Declaration
    claims: tuple[Claim, ...]
    between_importance_measures: dict[str, float | None]
    """Mean τ-b of each pair: what the agreement of attention is read against, not a ceiling."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return asdict(self)


def judge(agreement: pd.DataFrame, faithfulness: pd.DataFrame) -> Verdict:
    """Apply the declaration to the two tables of an explanation; draws nothing."""
    declared = Declaration()
    agreement = agreement[agreement["statistic"] == declared.statistic]
    agrees = agreement[
        (agreement["score"] == declared.score) & (agreement["against"] == declared.reference)
    ].iloc[0]
    faithful = faithfulness[
        (faithfulness["score"] == declared.score) & (faithfulness["metric"] == ADVANTAGE)
    ].iloc[0]
    claims = (
        _claim(
            "agrees with importance",
            f"{declared.score} ranks words more like {declared.reference} than the best floor "
            f"({agrees['best_floor'] or 'none'}) does",
            _evidence(agrees, "difference", "difference_low", "difference_high"),
            declared.agreement_margin,
            int(agrees["difference_n"]),
            bool(agrees["difference_descriptive"]),
        ),
        _claim(
            "faithful",
            f"erasing the words that {declared.score} ranks highest changes the prediction more "
            "than erasing random words",
            _evidence(faithful, "mean", "ci_low", "ci_high"),
            declared.faithfulness_margin,
            int(faithful["n"]),
            bool(faithful["descriptive"]),
        ),
    )
    return Verdict(declared, claims, _between(agreement))


def _evidence(row: Any, *columns: str) -> tuple[float, float, float] | None:
    """Effect and interval; None where nothing could be measured."""
    effect, low, high = (float(row[column]) for column in columns)
    return None if math.isnan(effect) else (effect, low, high)


def _claim(
    claim: str,
    statement: str,
    evidence: tuple[float, float, float] | None,
    margin: float,
    n: int,
    descriptive: bool,
) -> Claim:
    if evidence is None:
        text = f"It could not be measured whether {statement}."
        return Claim(claim, INCONCLUSIVE, None, None, None, margin, n, text)
    effect, low, high = evidence
    outcome = INCONCLUSIVE
    if not descriptive:
        outcome = SUPPORTED if low > margin else REFUTED if high < margin else INCONCLUSIVE
    reading = {
        SUPPORTED: f"On these data {statement}, by more than the margin of {margin}.",
        REFUTED: f"On these data it is not so that {statement} by the margin of {margin}.",
        INCONCLUSIVE: (
            f"These data {'are too few to say' if descriptive else 'do not settle'} whether "
            f"{statement} by the margin of {margin}."
        ),
    }
    measured = f"Advantage {effect:+.3f}, 95 % interval {low:+.3f} to {high:+.3f}, n = {n}."
    return Claim(claim, outcome, effect, low, high, margin, n, f"{reading[outcome]} {measured}")


def _between(agreement: pd.DataFrame) -> dict[str, float | None]:
    measures = list(dict.fromkeys(agreement["against"]))
    found: dict[str, float | None] = {}
    for score, against, mean in zip(
        agreement["score"], agreement["against"], agreement["mean"], strict=True
    ):
        # Each pair is in the table twice, once either way round.
        if score in measures and measures.index(score) < measures.index(against):
            found[f"{score} / {against}"] = None if math.isnan(mean) else float(mean)
    return found
