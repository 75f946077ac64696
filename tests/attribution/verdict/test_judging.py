"""Verdicts on evidence whose truth is known."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from bertology.attribution import AttributionError, Claim, Declaration, Scores, judge
from bertology.attribution.floors import FLOORS
from bertology.attribution.verdict import (
    AGREES,
    CLAIMS,
    FAITHFUL,
    INCONCLUSIVE,
    NEEDED,
    NO_ALTERNATIVE,
    RANKS,
    REFUTED,
    SUPPORTED,
)
from bertology.attribution.verdict.claim import BEYOND_SEEDS
from bertology.attribution.verdict.evidence import rows, text_evidence
from bertology.attribution.words import Items


def evidence(claim: str, values: np.ndarray, part: str = "part", units: object = None) -> object:
    numbers = range(len(values))
    return rows(claim, part, numbers, numbers if units is None else units, values)  # type: ignore[arg-type]


def only(claim: str, *parts: object, **declared: object) -> Claim:
    (found,) = judge(pd.concat(parts), Declaration(claims=(claim,), **declared)).claims  # type: ignore[arg-type,call-overload]
    return found


def around(mean: float, n: int = 100, sd: float = 0.02, seed: int = 0) -> np.ndarray:
    """Numbers of exactly this mean."""
    drawn = np.random.default_rng(seed).normal(size=n)
    return mean + sd * (drawn - drawn.mean())


@pytest.mark.parametrize(
    ("claim", "mean", "outcome", "equivalent"),
    [
        (AGREES, 0.15, SUPPORTED, False),
        (AGREES, 0.0, REFUTED, True),
        (AGREES, -0.4, REFUTED, False),
        (AGREES, 0.1, INCONCLUSIVE, False),
        (NEEDED, 0.05, SUPPORTED, False),
        (NEEDED, 0.0, REFUTED, True),
        (FAITHFUL, 0.05, SUPPORTED, False),
        (FAITHFUL, 0.0, REFUTED, True),
        (NO_ALTERNATIVE, 0.02, SUPPORTED, None),
        (NO_ALTERNATIVE, 0.5, REFUTED, None),
        (NO_ALTERNATIVE, 0.1, INCONCLUSIVE, None),
        (RANKS, 0.0, SUPPORTED, None),
        (RANKS, 0.3, SUPPORTED, None),
        (RANKS, -0.2, REFUTED, None),
        (RANKS, -0.05, INCONCLUSIVE, None),
    ],
)
def test_each_claim_against_its_margin(
    claim: str, mean: float, outcome: str, equivalent: bool | None
) -> None:
    found = only(claim, evidence(claim, around(mean)))
    assert (found.outcome, found.equivalent) == (outcome, equivalent)
    assert found.effect == pytest.approx(mean)
    assert found.ci_low is not None and found.ci_high is not None
    assert found.ci_low < mean < found.ci_high
    assert found.n == found.units == 100 and "n = 100" in found.sentence
    assert f"{found.effect:+.3f}" in found.sentence and "95 % interval" in found.sentence


def test_equivalence_needs_enough_data() -> None:
    wide = around(0.0, n=40, sd=0.6)
    assert only(AGREES, evidence(AGREES, wide)).outcome == INCONCLUSIVE
    many = around(0.0, n=4000, sd=0.6)
    found = only(AGREES, evidence(AGREES, many))
    assert found.outcome == REFUTED and found.equivalent
    assert "as good as none" in found.sentence


def test_models_of_other_seeds_are_the_margin() -> None:
    closer, farther = around(-0.03), around(0.03)
    found = only(NO_ALTERNATIVE, evidence(NO_ALTERNATIVE, closer, BEYOND_SEEDS))
    assert (found.outcome, found.margin) == (SUPPORTED, 0)
    assert "than the attention of models of other seeds was found" in found.sentence
    found = only(NO_ALTERNATIVE, evidence(NO_ALTERNATIVE, farther, BEYOND_SEEDS))
    assert found.outcome == REFUTED
    assert found.sentence.startswith("On these data attention farther from the model's own than ")
    than = "than the attention of models of other seeds was found that leaves the output"
    assert than in found.sentence
    # Against the declared margin the same numbers say the opposite.
    assert only(NO_ALTERNATIVE, evidence(NO_ALTERNATIVE, farther)).outcome == SUPPORTED


def test_nothing_is_said_to_be_absent() -> None:
    found = only(NO_ALTERNATIVE, evidence(NO_ALTERNATIVE, around(0.02)))
    assert "no attention farther" in found.sentence and "was found" in found.sentence
    assert "2 x 40 steps" in found.sentence
    assert "exist" not in found.sentence and "there is no" not in found.sentence


def test_both_operators_must_bear_it_out() -> None:
    good, none = around(0.1), around(0.0)
    found = only(FAITHFUL, evidence(FAITHFUL, good, "delete"), evidence(FAITHFUL, good, "mask"))
    assert found.outcome == SUPPORTED
    found = only(FAITHFUL, evidence(FAITHFUL, good, "delete"), evidence(FAITHFUL, none, "mask"))
    assert (found.outcome, found.part) == (REFUTED, "mask")
    unsure = around(0.02, sd=0.2)
    found = only(FAITHFUL, evidence(FAITHFUL, good, "delete"), evidence(FAITHFUL, unsure, "mask"))
    assert (found.outcome, found.part) == (INCONCLUSIVE, "mask")


def test_too_little_data_settles_nothing() -> None:
    for values, units in ((around(0.9, n=29), range(29)), (around(0.9, n=90), np.arange(90) % 9)):
        found = only(AGREES, evidence(AGREES, values, units=units))
        assert (found.outcome, found.p, found.p_adjusted) == (INCONCLUSIVE, None, None)
        assert "too few" in found.sentence
    found = only(AGREES, evidence(AGREES, around(0.9, n=30)))
    assert found.outcome == SUPPORTED
    (found,) = judge(evidence(NEEDED, around(0.9)), Declaration(claims=(AGREES,))).claims  # type: ignore[arg-type]
    assert (found.outcome, found.effect, found.n) == (INCONCLUSIVE, None, 0)
    assert "not measured" in found.sentence


def test_units_and_not_texts_are_tested() -> None:
    # Ten documents of 40 texts each that say the same: ten numbers, not 400.
    of_document = around(0.16, n=10, sd=0.12)
    copied = np.repeat(of_document, 40)
    found = only(AGREES, evidence(AGREES, copied, units=np.repeat(range(10), 40)))
    assert found.outcome == INCONCLUSIVE and found.units == 10
    assert only(AGREES, evidence(AGREES, copied)).outcome == SUPPORTED


def test_holm_over_the_claims_declared() -> None:
    values = around(0.107, sd=0.03)
    alone = only(AGREES, evidence(AGREES, values))
    assert alone.p is not None and alone.p_adjusted == alone.p and 0.01 < alone.p < 0.05
    weak = [evidence(NEEDED, around(0.02)), evidence(RANKS, around(-0.05))]
    family = judge(pd.concat([evidence(AGREES, values), *weak]), Declaration())  # type: ignore[list-item]
    first = family.claims[0]
    # Two of the five were not measured and are no looks.
    assert first.p_adjusted == pytest.approx(3 * alone.p)
    assert (alone.outcome, first.outcome) == (SUPPORTED, INCONCLUSIVE)
    assert [claim.claim for claim in family.claims] == list(CLAIMS)


@pytest.mark.parametrize("claim", [AGREES, NO_ALTERNATIVE])
def test_an_effect_equal_to_the_margin_is_rarely_decided(claim: str) -> None:
    margin = 0.1
    outcomes = []
    for seed in range(100):
        values = margin + np.random.default_rng([seed, 7]).normal(scale=0.1, size=40)
        outcomes.append(only(claim, evidence(claim, values)).outcome)
    most = binom.ppf(0.999, 100, 0.05)
    assert len(outcomes) - outcomes.count(INCONCLUSIVE) <= most
    assert outcomes.count(SUPPORTED) <= most


def sentences(generator: np.random.Generator, strength: float, count: int = 40) -> list[Scores]:
    """Texts whose attention is leave-one-out times the strength, and noise."""
    found = []
    for _ in range(count):
        length = int(generator.integers(8, 14))
        words = Items(tuple(map(str, range(length))), np.arange(length), np.arange(length))
        truth = generator.random(length)
        named = {"leave_one_out": truth}
        named["attention_mean"] = strength * truth + generator.random(length)
        named |= {floor: generator.random(length) for floor in FLOORS}
        none = np.zeros(0, dtype=int)
        found.append(Scores(words, none, none, np.zeros((0, length)), named))
    return found


def agreement_claim(strength: float, seed: int, margin: float) -> Claim:
    declared = Declaration(claims=(AGREES,), agreement_margin=margin)
    scores = sentences(np.random.default_rng([seed, 3]), strength)
    prepared = SimpleNamespace(kept=list(range(len(scores))))
    found, record = text_evidence(
        None, prepared, scores, range(len(scores)), declared, seed=seed  # type: ignore[arg-type]
    )  # fmt: skip
    assert set(record["best_floor"]) <= set(FLOORS)
    (claim,) = judge(found, declared, seed=seed).claims
    return claim


def test_random_attention_is_not_said_to_agree() -> None:
    runs = 60
    # With hardly any margin the truth lies at it: the whole pipeline errs as often as it may.
    at_margin = [agreement_claim(0.0, seed, 1e-9).outcome for seed in range(runs)]
    assert at_margin.count(SUPPORTED) <= binom.ppf(0.999, runs, 0.05)
    default = [agreement_claim(0.0, seed, 0.1).outcome for seed in range(20)]
    assert SUPPORTED not in default


def test_planted_agreement_is_found() -> None:
    planted = [agreement_claim(3.0, seed, 0.1).outcome for seed in range(20)]
    assert planted.count(SUPPORTED) == 20


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"claims": ("needed", "good")}, "there is no claim 'good'; there are agrees"),
        ({"score": "attention_men"}, "score is 'attention_men'; give some of"),
        ({"statistic": "jensen_shannon"}, "give one of kendall_tau_b"),
        ({"operators": ("delete",)}, "give two"),
        ({"agreement_margin": 0.0}, "agreement_margin is 0.0; give a number above 0"),
        ({"texts": 0}, "texts is 0"),
    ],
)
def test_what_cannot_be_tested_is_refused(declared: dict[str, object], message: str) -> None:
    with pytest.raises(AttributionError, match=message):
        Declaration(**declared)  # type: ignore[arg-type]


def test_a_declaration_comes_back_from_its_record() -> None:
    declared = Declaration(score="rollout", operators=("delete", "pad"), texts=7)
    assert Declaration(**declared.as_dict()) == declared
