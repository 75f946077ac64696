"""Comprehensiveness and sufficiency on an additive function, where they are sums of weights."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bertology.attribution import AttributionError, faithfulness
from bertology.attribution.faithfulness import AVERAGES, BASELINES, DEYOUNG, RANKED, REVERSED
from bertology.attribution.faithfulness.rankings import erasers
from bertology.models import LoadedModel

Make = Callable[..., SimpleNamespace]
WEIGHTS = np.array([3.0, 10, 1, 8, 5, 2, 9, 4, 7, 6])
#: Sums of the one, two and five largest weights, over the sum of all.
TOP, BOTTOM = np.mean([10, 19, 40]) / 55, np.mean([1, 3, 15]) / 55


@pytest.fixture
def table(toy: Callable[..., LoadedModel], make_case: Make) -> pd.DataFrame:
    model = toy(lambda x, mask: (x * mask).sum(1))
    names = [name for name in RANKED if name not in ("random", "rollout", REVERSED)]
    case = make_case(
        model,
        [WEIGHTS, np.array([1, 2])],
        [55.0, 3.0],
        **dict.fromkeys(names, lambda own: own),
        rollout=np.zeros_like,
        random=lambda own: -own,
    )
    return faithfulness(model, case.prepared, case.scores, case.units, seed=0)


def value(table: pd.DataFrame, score: str, metric: str, operator: str, column: str) -> float:
    chosen = table[(table["score"] == score) & (table["metric"] == metric)]
    return chosen[chosen["operator"] == operator][column].item()


@pytest.mark.parametrize("operator", ["delete", "pad"])
def test_drops_are_the_weights_erased(table: pd.DataFrame, operator: str) -> None:
    for score, share in (("leave_one_out", TOP), ("leave_one_out_reversed", BOTTOM)):
        found = value(table, score, "comprehensiveness", operator, "mean")
        assert found == pytest.approx(share, rel=1e-5)
        found = value(table, score, "sufficiency", operator, "mean")
        assert found == pytest.approx(1 - share, rel=1e-5)


def test_differences_are_paired_with_the_random_ranking(table: pd.DataFrame) -> None:
    for metric, sign in (("comprehensiveness", 1), ("sufficiency", -1)):
        found = value(table, "attention_mean", metric, "delete", "difference")
        assert found == pytest.approx(sign * (TOP - BOTTOM), rel=1e-5)
    advantage = value(table, "attention_mean", "advantage", "all", "mean")
    assert advantage == pytest.approx(TOP - BOTTOM, rel=1e-5)
    assert value(table, "random", "comprehensiveness", "delete", "difference") == 0


def test_ties_do_not_favour_the_first_words(table: pd.DataFrame) -> None:
    by_position = np.mean([3, 13, 27]) / 55
    found = value(table, "rollout", "comprehensiveness", "delete", "mean")
    assert found != pytest.approx(by_position, rel=1e-3)


def test_short_texts_are_left_out(table: pd.DataFrame) -> None:
    assert (table["n"] == 1).all()
    assert table["descriptive"].all()


def means(table: pd.DataFrame, score: str = "leave_one_out") -> dict[str, float]:
    own = table[(table["score"] == score) & (table["metric"] != "advantage")]
    return dict(zip(own["metric"], own["mean"], strict=True))


def test_both_averages_of_drops_of_a_tenth_each(
    toy: Callable[..., LoadedModel], make_case: Make
) -> None:
    case = make_case(
        toy(lambda x, mask: (x * mask).sum(1)), [np.ones(10)], [10.0], leave_one_out=np.ones_like
    )
    found = {
        average: means(
            faithfulness(
                case.model, case.prepared, case.scores, [0], seed=0, operators=["pad"],
                fractions=(0.1, 0.2, 0.3, 0.4, 0.5), average=average,
            )
        )
        for average in AVERAGES
    }  # fmt: skip
    assert found["thresholds"] == pytest.approx({"comprehensiveness": 0.3, "sufficiency": 0.7})
    # Without any word nothing of p is left: (0.9 + 0.8 + 0.7 + 0.6 + 0.5 + 1) / 6.
    assert found["with_none"] == pytest.approx({"comprehensiveness": 0.25, "sufficiency": 0.75})


def test_a_constant_function_has_no_drops(toy: Callable[..., LoadedModel], make_case: Make) -> None:
    model = toy(lambda x, mask: 0 * x.sum(1) + 3)
    case = make_case(model, [np.arange(1, 9)], [3.0], leave_one_out=lambda own: own)
    table = faithfulness(model, case.prepared, case.scores, [0], seed=0)
    known = table[table["n"] > 0]
    assert (known["mean"] == 0).all() and len(known) == 5 * 5 - 1


def test_all_words_are_the_empty_input(planted: SimpleNamespace) -> None:
    for operator in ("pad", "hide"):
        if operator == "hide":
            # Nothing is left to see.
            with pytest.raises(AttributionError, match="leaves nothing to measure"):
                run(planted, operators=[operator], fractions=[1.0])
            continue
        found = means(run(planted, operators=[operator], fractions=[1.0]))
        assert found == pytest.approx({"comprehensiveness": 1, "sufficiency": 0}, abs=1e-6)


def run(case: SimpleNamespace, **options: object) -> pd.DataFrame:
    return faithfulness(case.model, case.prepared, case.scores, case.units, seed=0, **options)  # type: ignore[arg-type]


def test_a_perfect_ranking_beats_all_baselines(planted: SimpleNamespace) -> None:
    table = run(planted, fractions=DEYOUNG)
    for operator in ("delete", "pad"):
        rows = {
            metric: own.set_index("score")
            for metric, own in table[table["operator"] == operator].groupby("metric")
        }
        comprehensive, sufficient = rows["comprehensiveness"], rows["sufficiency"]
        for baseline in BASELINES:
            best, floor = comprehensive.loc["leave_one_out"], comprehensive.loc[baseline]
            assert best["ci_low"] > floor["ci_high"]
            assert sufficient.loc["leave_one_out", "ci_high"] < sufficient.loc[baseline, "ci_low"]
        assert comprehensive.loc["leave_one_out", "difference_low"] > 0
        assert comprehensive.loc["leave_one_out_reversed", "difference_high"] < 0
        # All scores equal: a ranking by chance.
        tied = comprehensive.loc["rollout"]
        assert tied["difference_low"] < 0 < tied["difference_high"]


def test_differences_are_paired(planted: SimpleNamespace) -> None:
    table = run(planted).set_index(["metric", "operator", "score"]).sort_index()
    own = table.loc[("comprehensiveness", "delete", "leave_one_out")]
    floor = table.loc[("comprehensiveness", "delete", "random")]
    assert own["difference"] == pytest.approx(own["mean"] - floor["mean"])
    # Texts differ more from each other than the two rankings of one text do.
    assert floor["difference_low"] == floor["difference_high"] == 0


@pytest.mark.parametrize(
    ("mask", "pad", "second"), [(1, 2, "mask"), (None, 2, "pad"), (None, None, "hide")]
)
def test_there_are_two_operators_for_every_tokenizer(
    mask: int | None, pad: int | None, second: str
) -> None:
    tokenizer = SimpleNamespace(mask_token_id=mask, pad_token_id=pad)
    assert list(erasers(tokenizer, None)) == ["delete", second]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"average": "mean"}, "average is 'mean'; give one of thresholds, with_none"),
        ({"fractions": [0.0, 0.5]}, "above 0 and up to 1"),
        ({"fractions": []}, "above 0 and up to 1"),
        ({"operators": ["mask"]}, "has no mask token"),
        ({"names": ["altii"]}, "score is 'altii', which no text has"),
    ],
)
def test_bad_options_are_refused(
    planted: SimpleNamespace, options: dict[str, object], message: str
) -> None:
    with pytest.raises(AttributionError, match=message):
        run(planted, **options)
