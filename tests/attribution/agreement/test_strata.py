"""Agreement by class and length, and the share of significant τ."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import kendalltau

from bertology.attribution import AttributionError, Scores
from bertology.attribution.agreement import (
    WARNING,
    agreement,
    agreement_strata,
    compare,
    significance_share,
    tau_needed,
    tau_sd,
)

Make = Callable[..., Scores]


@pytest.fixture
def scores(make_sentence: Make) -> list[Scores]:
    """Rollout is leave-one-out in even sentences and unrelated in odd ones; 5 to 24 items."""
    generator = np.random.default_rng(0)
    found = []
    for number in range(80):
        truth = generator.random(5 + number % 20)
        given = {"rollout": truth} if number % 2 == 0 else {}
        found.append(make_sentence(len(truth), generator, leave_one_out=truth, **given))
    return found


def test_strata_split_the_sentences(scores: list[Scores]) -> None:
    classes = ["even" if number % 2 == 0 else "odd" for number in range(80)]
    table = agreement_strata(scores, range(80), seed=0, classes=classes)
    own = table[(table["score"] == "rollout") & (table["against"] == "leave_one_out")]
    rows = own.set_index(["by", "stratum"])
    assert rows.loc[("class", "even"), "mean"] == 1
    assert abs(rows.loc[("class", "odd"), "mean"]) < 0.2
    lengths = rows.loc["length"]
    assert list(lengths.index) == ["6-9", "10-19", "20-49"]
    # 5 + number % 20: four texts of each length, of which 5 is too short.
    assert lengths["n"].tolist() == [16, 40, 20]
    whole = agreement(scores, range(80), seed=0)
    row = whole[(whole["score"] == "rollout") & (whole["against"] == "leave_one_out")].iloc[0]
    assert (lengths["mean"] * lengths["n"]).sum() / 76 == pytest.approx(row["mean"])
    assert not (table["score"] == "attention").any()


def test_strata_of_heads_and_bad_strata(scores: list[Scores]) -> None:
    table = agreement_strata(scores, range(80), seed=0, lengths=[6], heads=True)
    assert set(table["stratum"]) == {"6+"}
    head = table[(table["layer"] == 0) & (table["against"] == "leave_one_out")].iloc[0]
    assert head["mean"] == pytest.approx(1)
    with pytest.raises(AttributionError, match="ascending"):
        agreement_strata(scores, range(80), seed=0, lengths=[10, 10])
    with pytest.raises(AttributionError, match="2 classes for 80 examples"):
        agreement_strata(scores, range(80), seed=0, classes=["a", "b"])


def test_every_sentence_has_its_rows(scores: list[Scores]) -> None:
    table = compare(scores[:4], seed=0, heads=False).table()
    assert sorted(set(table["sentence"])) == [1, 2, 3]
    own = table[(table["score"] == "rollout") & (table["against"] == "leave_one_out")]
    own = own[own["statistic"] == "kendall_tau_b"].set_index("sentence")
    assert own.loc[2, "value"] == 1 and own.loc[2, "items"] == 7
    expected = kendalltau(*np.abs([scores[1].named[n] for n in ("rollout", "leave_one_out")]))
    assert own.loc[1, "value"] == pytest.approx(expected.statistic)


def test_tau_that_is_needed() -> None:
    needed = tau_needed(np.array([5, 10, 20, 50, 100, 200, 400]))
    assert needed == pytest.approx([0.80, 0.49, 0.32, 0.19, 0.13, 0.09, 0.07], abs=0.005)
    generator = np.random.default_rng(0)
    taus = [kendalltau(generator.permutation(12), np.arange(12)).statistic for _ in range(1000)]
    assert np.std(taus) == pytest.approx(tau_sd(12), rel=0.08)


def test_significance_follows_the_length(make_sentence: Make) -> None:
    generator = np.random.default_rng(0)
    shares = []
    for length in (10, 60):
        scores = []
        for _ in range(40):
            truth = generator.random(length)
            near = truth + generator.normal(scale=0.5, size=length)
            scores.append(make_sentence(length, generator, leave_one_out=truth, rollout=near))
        table = significance_share(scores, range(40), seed=0)
        row = table[(table["score"] == "rollout") & (table["against"] == "leave_one_out")].iloc[0]
        floor = table[(table["score"] == "random") & (table["against"] == "leave_one_out")]
        # Of unrelated scores about one in twenty is significant.
        assert floor["mean"].item() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 40)
        assert row["median_items"] == length
        assert row["tau_needed"] == pytest.approx(tau_needed(length))
        shares.append((row["mean"], row["tau"]))
    (short, tau_short), (long, tau_long) = shares
    # The same closeness, and another share.
    assert tau_short == pytest.approx(tau_long, abs=0.1)
    assert long > short + 0.3
    assert set(table["warning"]) == {WARNING}


def test_spread_is_that_of_the_population(make_sentence: Make) -> None:
    generator = np.random.default_rng(0)
    scores = [make_sentence(9, generator) for _ in range(5)]
    table = significance_share(scores, range(5), seed=0)
    row = table[(table["score"] == "rollout") & (table["against"] == "leave_one_out")].iloc[0]
    taus = [
        kendalltau(abs(s.named["rollout"]), abs(s.named["leave_one_out"])).statistic for s in scores
    ]
    assert row["tau"] == pytest.approx(np.mean(taus))
    assert row["tau_sd"] == pytest.approx(np.std(taus))
