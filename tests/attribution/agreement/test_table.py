"""Agreement, on scores whose agreement is known."""

import numpy as np
import pandas as pd
import pytest

from bertology.attribution import Scores, agreement, judge
from bertology.attribution.agreement import DEFAULT
from bertology.attribution.scores import ATTENTION, IMPORTANCE
from bertology.attribution.words import Items
from bertology.stats import kendall_tau_b

NAMES = [*ATTENTION, *IMPORTANCE, "random", "position", "frequency", "other_sentence"]


def sentence(length: int, generator: np.random.Generator, **given: np.ndarray) -> Scores:
    """A sentence of random scores, except those given."""
    words = Items(tuple(map(str, range(length))), np.arange(length), np.arange(length))
    named = {name: given.get(name, generator.normal(size=length)) for name in NAMES}
    heads = np.stack([named["leave_one_out"], generator.random(length)])
    return Scores(words, np.array([0, 1]), np.array([0, 0]), heads, named)


def cell(
    table: pd.DataFrame, score: str, against: str, statistic: str = "kendall_tau_b"
) -> pd.Series:
    wanted = (score, against, statistic)
    (row,) = (r for _, r in table.iterrows() if (r.score, r.against, r.statistic) == wanted)
    return row


def test_tau_of_the_worked_examples() -> None:
    def tau(x: list[int], y: list[int]) -> float:
        return kendall_tau_b(np.array([x]), np.array([y]))[0, 0]

    assert tau([1, 2, 3, 4, 5], [2, 1, 4, 3, 5]) == pytest.approx(0.6)
    assert tau([1, 1, 1, 2], [1, 2, 3, 4]) == pytest.approx(0.7071, abs=1e-4)


def test_a_score_agrees_with_itself_and_random_does_not() -> None:
    generator = np.random.default_rng(0)
    scores = [sentence(12, generator) for _ in range(200)]
    table = agreement(scores, range(200), seed=0)
    head = table[(table["score"] == "attention") & (table["layer"] == 0)]
    own = head[head["against"] == "leave_one_out"].set_index("statistic")["mean"]
    assert own.to_dict() == pytest.approx(dict.fromkeys(DEFAULT, 1))
    null_sd = np.sqrt(2 * (2 * 12 + 5) / (9 * 12 * 11))
    for name in ("random", "attention_mean", "position"):
        row = cell(table, name, "leave_one_out")
        assert abs(row["mean"]) < 4 * null_sd / np.sqrt(200)
        assert row["ci_low"] < 0 < row["ci_high"] or abs(row["mean"]) > 0.02
        assert row["n"] == 200 and not row["descriptive"]


def test_signs_are_dropped() -> None:
    generator = np.random.default_rng(0)
    values = generator.random(9) + 0.1
    scores = [sentence(9, generator, leave_one_out=values, rollout=-values)]
    table = agreement(scores, [0], seed=0)
    for statistic in DEFAULT:
        mean = cell(table, "rollout", "leave_one_out", statistic)["mean"]
        assert mean == pytest.approx(1), statistic


def test_columns_and_order() -> None:
    generator = np.random.default_rng(0)
    table = agreement([sentence(8, generator)] * 3, range(3), seed=0)
    assert list(table.columns[:9]) == [
        "score", "against", "layer", "head", "statistic", "mean", "ci_low", "ci_high", "n",
    ]  # fmt: skip
    assert not (table["score"] == table["against"]).any()
    assert table["layer"].notna().equals(table["score"] == "attention")
    assert list(dict.fromkeys(table["statistic"])) == list(DEFAULT)
    assert len(table) == len(DEFAULT) * 3 * (2 + len(NAMES) - 1)


def test_short_constant_and_missing_scores_are_left_out_and_counted() -> None:
    generator = np.random.default_rng(0)
    scores = [sentence(length, generator) for length in (5, 8, 8, 9)]
    scores[1].named["rollout"] = np.ones(8)
    del scores[3].named["other_sentence"]
    table = agreement(scores, range(4), seed=0)
    counts = [
        (row["n"], row["left_out"])
        for row in (
            cell(table, name, "leave_one_out")
            for name in ("attention_mean", "rollout", "other_sentence")
        )
    ]
    assert counts == [(3, 0), (2, 1), (2, 1)]


def test_no_sentence_long_enough_gives_empty_cells() -> None:
    generator = np.random.default_rng(0)
    table = agreement([sentence(3, generator)] * 2, range(2), seed=0)
    assert table["mean"].isna().all()
    assert (table["n"] == 0).all()


def faithfulness_of(mean: float, low: float, high: float) -> pd.DataFrame:
    return pd.DataFrame(
        [("attention_mean", "advantage", "all", mean, low, high, 100, False)],
        columns=["score", "metric", "operator", "mean", "ci_low", "ci_high", "n", "descriptive"],
    )


@pytest.mark.parametrize(
    ("strength", "outcome"), [(3.0, "supported"), (0.0, "refuted"), (0.16, "inconclusive")]
)
def test_verdict_on_planted_agreement(strength: float, outcome: str) -> None:
    generator = np.random.default_rng(1)
    scores = []
    for _ in range(120):
        truth = generator.random(12)
        noisy = strength * truth + generator.random(12)
        position = np.arange(12, 0, -1.0)
        scores.append(
            sentence(12, generator, leave_one_out=truth, attention_mean=noisy, position=position)
        )
    table = agreement(scores, range(120), seed=0)
    verdict = judge(table, faithfulness_of(0.2, 0.1, 0.3))
    assert verdict == judge(table, faithfulness_of(0.2, 0.1, 0.3))
    agrees, faithful = verdict.claims
    assert agrees.outcome == outcome
    assert faithful.outcome == "supported"
    assert agrees.n == 120 and f"n = {agrees.n}" in agrees.sentence


def test_best_floor_is_chosen_on_the_other_half() -> None:
    generator = np.random.default_rng(2)
    scores = []
    for number in range(60):
        truth = generator.random(10)
        # Position is the best floor in the even sentences, frequency in the odd ones.
        best = "position" if number % 2 == 0 else "frequency"
        scores.append(sentence(10, generator, leave_one_out=truth, **{best: truth}))
    row = cell(agreement(scores, range(60), seed=0), "attention_mean", "leave_one_out")
    assert set(row["best_floor"].split(" / ")) == {"position", "frequency"}
    # A floor chosen and compared on the same half would have τ = 1.
    assert abs(row["difference"]) < 0.2


@pytest.mark.parametrize(
    ("interval", "outcome"),
    [
        ((0.1, 0.06, 0.2), "supported"),
        ((0.01, -0.02, 0.04), "refuted"),
        ((-0.2, -0.3, -0.1), "refuted"),
        ((0.06, 0.01, 0.1), "inconclusive"),
    ],
)
def test_verdict_on_faithfulness(interval: tuple[float, float, float], outcome: str) -> None:
    generator = np.random.default_rng(0)
    table = agreement([sentence(8, generator) for _ in range(40)], range(40), seed=0)
    faithful = judge(table, faithfulness_of(*interval)).claims[1]
    assert faithful.outcome == outcome


def test_too_few_sentences_settle_nothing() -> None:
    generator = np.random.default_rng(0)
    table = agreement([sentence(8, generator) for _ in range(5)], range(5), seed=0)
    claim = judge(table, faithfulness_of(0.2, 0.1, 0.3)).claims[0]
    assert claim.outcome == "inconclusive"
    assert "too few" in claim.sentence
