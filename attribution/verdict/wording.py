"""The plain sentence of each claim."""

from .claim import BEYOND_SEEDS, INCONCLUSIVE, SUPPORTED, Claim
from .declaration import AGREES, FAITHFUL, NEEDED, NO_ALTERNATIVE, RANKS, Declaration


def sentence_of(found: Claim, declared: Declaration) -> str:
    """What was found, on how much, and by how much; never a bare yes."""
    statement, question = _worded(found, declared)
    if found.effect is None:
        return f"It was not measured whether {question}."
    if found.p is None:
        reading = f"{found.n} texts in {found.units} units are too few to say whether {question}."
    elif found.outcome == INCONCLUSIVE:
        reading = f"These data do not settle whether {question}."
    elif found.outcome == SUPPORTED:
        reading = f"On these data {statement}."
    elif found.claim == NO_ALTERNATIVE:
        reading = f"On these data {statement.removeprefix('no ')}."
    else:
        reading = f"On these data it is not so that {statement}: {_refuted(found)}."
    interval = ""
    if found.ci_low is not None:
        interval = f", 95 % interval {found.ci_low:+.3f} to {found.ci_high:+.3f}"
    side = " (supported below it)" if found.claim == NO_ALTERNATIVE else ""
    tested = "" if found.p_adjusted is None else f", corrected p {_p(found.p_adjusted)}"
    return (
        f"{reading} Effect ({found.part}) {found.effect:+.3f}{interval}, "
        f"margin {found.margin:g}{side}{tested}, n = {found.n}."
    )


def _worded(found: Claim, declared: Declaration) -> tuple[str, str]:
    """A claim with its margin as a statement, and as what can follow `whether`."""
    score, reference = declared.score, declared.reference
    if found.claim == NO_ALTERNATIVE:
        than = f"{declared.alternative_margin:g} nats of divergence"
        if found.part == BEYOND_SEEDS:
            than = "the attention of models of other seeds"
        attention = f"attention farther from the model's own than {than}"
        rest = (
            f"that leaves the output within {declared.epsilon:g}, in a search of at most "
            f"{declared.restarts} x {declared.steps} steps"
        )
        return f"no {attention} was found {rest}", f"{attention} can be found {rest}"
    statement = {
        AGREES: (
            f"{score} ranks words more like {reference} than the best floor does, by more than "
            f"{declared.agreement_margin:g} in {declared.statistic}"
        ),
        NEEDED: (
            "scrambling all attention maps moves the output more than random changes of the head "
            f"outputs of equal norm, by more than {declared.needed_margin:g}"
        ),
        FAITHFUL: (
            f"erasing the words that {score} ranks highest lowers the prediction more than erasing "
            f"random words, by more than {declared.faithfulness_margin:g} under each operator"
        ),
        RANKS: (
            f"erasing the words that {score} ranks highest lowers the prediction at most "
            f"{declared.rank_margin:g} less than erasing those of the best importance method "
            "(chosen on the other half of the texts)"
        ),
    }[found.claim]
    return statement, statement


def _refuted(found: Claim) -> str:
    if found.equivalent is None:
        return "it falls short by more than that"
    if found.equivalent:
        return "the advantage lies within the margin on either side of 0, as good as none"
    return "the advantage is below the margin, and may be a disadvantage"


def _p(p: float) -> str:
    return "below 0.001" if p < 0.001 else f"{p:.3f}"
