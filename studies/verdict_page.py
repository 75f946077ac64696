"""The verdict as a page: what was declared first, then each claim with its effect."""

from dataclasses import dataclass
from typing import Any

from ..attribution import Claim, Verdict
from .page import render

#: Width of a bar in the units of its drawing.
WIDTH = 400.0
DECLARED = {
    "claims": "claims",
    "score": "score read from attention",
    "reference": "importance it is to agree with",
    "importance": "importance methods",
    "statistic": "statistic of agreement",
    "agreement_margin": "margin of agreement",
    "needed_margin": "margin of scrambling",
    "epsilon": "the output may move by (ε)",
    "alternative_margin": "divergence that counts as an alternative (nats)",
    "steps": "steps of each search",
    "restarts": "starts of each search, at most",
    "faithfulness_margin": "margin of faithfulness",
    "operators": "operators of erasure",
    "rank_margin": "margin of being as good as the best",
    "texts": "most texts on which other attention is tried",
    "alpha": "level, corrected by Holm over the claims",
}


@dataclass(frozen=True)
class Bar:
    """Places on a line from 0 to `WIDTH`: the effect with its interval, no effect, the margin."""

    effect: float
    low: float
    high: float
    zero: float
    margin: float


def verdict_page(verdict: Verdict) -> str:
    """One self-contained HTML page; everything that comes from data is escaped."""
    declared = verdict.declared.as_dict()
    return render(
        "verdict.html",
        width=WIDTH,
        declared=[(DECLARED[name], _plain(value)) for name, value in declared.items()],
        claims=[(claim, bar_of(claim)) for claim in verdict.claims],
        between=verdict.between_importance_measures,
        statistic=verdict.declared.statistic,
        provenance=verdict.provenance,
        explained=explained_of(verdict.provenance["explanation"]["options"]),
    )


def explained_of(options: dict[str, Any]) -> str:
    """What was explained, of which class or token, and on how many texts of each kind."""
    kinds = ", ".join(f"{kind} ({count} texts)" for kind, count in options["goals"].items())
    if set(options["goals"]) & {"embedding", "similarity", "function"}:
        return kinds
    who = {None: "predicted", "label": "labelled"}.get(options["target"], options["target"])
    if options["target"] is None and "masked token" in options["goals"]:
        who = "original or predicted"
    foil = f", against {options['foil']}" if options["foil"] else ""
    return f"{options['quantity']} of the {who} {kinds}{foil}"


def bar_of(claim: Claim) -> Bar | None:
    """Where the effect lies between the smallest and largest of what is shown, if there is one."""
    if claim.effect is None or claim.ci_low is None or claim.ci_high is None:
        return None
    shown = [claim.effect, claim.ci_low, claim.ci_high, 0.0, claim.margin]
    least, span = min(shown), (max(shown) - min(shown)) or 1.0
    # A tenth of the line is left free at either end.
    places = [WIDTH * (0.1 + 0.8 * (value - least) / span) for value in shown]
    return Bar(*places)


def _plain(value: object) -> str:
    if isinstance(value, list):
        return (
            ", ".join(map(str, value)) or "delete, and mask (without such a token pad, else hide)"
        )
    return str(value)
