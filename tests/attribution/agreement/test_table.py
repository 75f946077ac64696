"""Agreement, on scores whose agreement is known."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from bertology.attribution import AttributionError, Scores, agreement
from bertology.attribution.agreement import DEFAULT
from bertology.attribution.floors import FLOORS, other_sentence_scores
from bertology.attribution.scores import ATTENTION, IMPORTANCE

Make = Callable[..., Scores]
NAMES = [*ATTENTION, *IMPORTANCE, "random", "position", "frequency", "other_sentence"]


def cell(
    table: pd.DataFrame, score: str, against: str, statistic: str = "kendall_tau_b"
) -> pd.Series:
    wanted = (score, against, statistic)
    (row,) = (r for _, r in table.iterrows() if (r.score, r.against, r.statistic) == wanted)
    return row


def test_a_score_agrees_with_itself_and_random_does_not(make_sentence: Make) -> None:
    generator = np.random.default_rng(0)
    scores = [make_sentence(12, generator) for _ in range(200)]
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


def test_signs_are_dropped(make_sentence: Make) -> None:
    generator = np.random.default_rng(0)
    values = generator.random(9) + 0.1
    scores = [make_sentence(9, generator, leave_one_out=values, rollout=-values)]
    table = agreement(scores, [0], seed=0)
    for statistic in DEFAULT:
        mean = cell(table, "rollout", "leave_one_out", statistic)["mean"]
        assert mean == pytest.approx(1), statistic


def test_columns_and_order(make_sentence: Make) -> None:
    generator = np.random.default_rng(0)
    table = agreement([make_sentence(8, generator)] * 3, range(3), seed=0)
    assert list(table.columns[:9]) == [
        "score", "against", "layer", "head", "statistic", "mean", "ci_low", "ci_high", "n",
    ]  # fmt: skip
    assert not (table["score"] == table["against"]).any()
    assert table["layer"].notna().equals(table["score"] == "attention")
    assert list(dict.fromkeys(table["statistic"])) == list(DEFAULT)
    assert len(table) == len(DEFAULT) * 3 * (2 + len(NAMES) - 1)


def test_short_constant_and_missing_scores_are_left_out_and_counted(make_sentence: Make) -> None:
    generator = np.random.default_rng(0)
    scores = [make_sentence(length, generator) for length in (5, 8, 8, 9)]
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


def test_no_sentence_long_enough_gives_empty_cells(make_sentence: Make) -> None:
    generator = np.random.default_rng(0)
    table = agreement([make_sentence(3, generator)] * 2, range(2), seed=0)
    assert table["mean"].isna().all()
    assert (table["n"] == 0).all()


def test_best_floor_is_chosen_on_the_other_half(make_sentence: Make) -> None:
    generator = np.random.default_rng(2)
    scores = []
    for number in range(60):
        truth = generator.random(10)
        # Position is the best floor in the even sentences, frequency in the odd ones.
        best = "position" if number % 2 == 0 else "frequency"
        scores.append(make_sentence(10, generator, leave_one_out=truth, **{best: truth}))
    row = cell(agreement(scores, range(60), seed=0), "attention_mean", "leave_one_out")
    assert set(row["best_floor"].split(" / ")) == {"position", "frequency"}
    # A floor chosen and compared on the same half would have τ = 1.
    assert abs(row["difference"]) < 0.2


def test_null_is_the_same_head_of_another_text_of_equal_length(make_sentence: Make) -> None:
    generator = np.random.default_rng(0)
    # Every text has the same importance by place, so another text's map agrees fully.
    places = np.arange(9) ** 2 + 1.0
    by_place = [make_sentence(9, generator, leave_one_out=places) for _ in range(40)]
    table = agreement([*by_place, make_sentence(8, generator)], range(41), seed=0)
    heads = table[(table["against"] == "leave_one_out") & (table["statistic"] == "kendall_tau_b")]
    own, other = (heads[heads["layer"] == layer].iloc[0] for layer in (0, 1))
    assert own["mean"] == own["null"] == 1
    assert (own["null_difference"], own["n"], own["null_n"]) == (0, 41, 40)
    assert abs(other["null"]) < 4 * np.sqrt(2 * 23 / (9 * 9 * 8)) / np.sqrt(40)
    # A text that importance does differ in tells the two apart.
    differ = [make_sentence(9, generator) for _ in range(40)]
    table = agreement(differ, range(40), seed=0)
    row = table[(table["layer"] == 0) & (table["against"] == "leave_one_out")].iloc[0]
    assert row["mean"] == 1 and row["null_low"] > 0.5


def test_null_of_the_mean_attention_is_the_floor_of_other_sentences(make_sentence: Make) -> None:
    generator = np.random.default_rng(3)
    scores = [make_sentence(7, generator) for _ in range(12)]
    found = other_sentence_scores(
        [own.items for own in scores], [own.named["attention_mean"] for own in scores], seed=5
    )
    for own, other in zip(scores, found, strict=True):
        assert other is not None
        own.named["other_sentence"] = other
    table = agreement(scores, range(12), seed=5)
    floor = cell(table, "other_sentence", "leave_one_out")["mean"]
    assert floor == pytest.approx(cell(table, "attention_mean", "leave_one_out")["null"])
    assert table[table["score"].isin(FLOORS)]["null"].isna().all()


def test_signed_scores_are_ranked_with_their_sign(make_sentence: Make) -> None:
    generator = np.random.default_rng(0)
    values = generator.random(9) + 0.1
    scores = [make_sentence(9, generator, leave_one_out=values, rollout=-values)]
    table = agreement(scores, [0], seed=0, signed=True)
    assert cell(table, "rollout", "leave_one_out")["mean"] == pytest.approx(-1)


def test_the_closest_floor_is_the_one_of_least_divergence(make_sentence: Make) -> None:
    generator = np.random.default_rng(0)
    scores = []
    for _ in range(10):
        truth = generator.random(8)
        scores.append(make_sentence(8, generator, leave_one_out=truth, frequency=truth))
    table = agreement(scores, range(10), seed=0, statistics=["jensen_shannon"])
    row = cell(table, "attention_mean", "leave_one_out", "jensen_shannon")
    assert row["best_floor"] == "frequency"
    assert row["difference"] == pytest.approx(row["mean"]) and row["mean"] > 0


def test_scores_of_other_names_are_compared(make_sentence: Make) -> None:
    generator = np.random.default_rng(0)
    truth = generator.random(8)
    scores = [make_sentence(8, generator, leave_one_out=truth, alti=truth**2)]
    table = agreement(scores, [0], seed=0, names=["alti"], against=["leave_one_out"])
    assert set(table["score"]) == {"attention", "alti", *FLOORS}
    assert cell(table, "alti", "leave_one_out")["mean"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"statistics": ["tau"]}, "statistic is 'tau'; give some of kendall_tau_b"),
        ({"statistics": ["jensen_shannon"], "signed": True}, "knows no sign"),
        ({"names": ["altii"]}, "score is 'altii', which no text has"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    options: dict[str, object], message: str, make_sentence: Make
) -> None:
    scores = [make_sentence(8, np.random.default_rng(0))]
    with pytest.raises(AttributionError, match=message):
        agreement(scores, [0], seed=0, **options)  # type: ignore[arg-type]
    with pytest.raises(AttributionError, match="no scores"):
        agreement([], [], seed=0)
