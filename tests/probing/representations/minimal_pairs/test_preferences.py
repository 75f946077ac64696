"""How often the good sentence is preferred: known answers, intervals, tests, and real models."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from scipy.stats import binom

import bertology
from bertology.corpora import MinimalPair, MinimalPairs, read_minimal_pairs
from bertology.errors import CorpusError, ModelError
from bertology.probing.representations.minimal_pairs import Preferences, minimal_pairs
from bertology.probing.representations.minimal_pairs.groups import PairGroup, units_of_pairs
from bertology.probing.representations.minimal_pairs.table import preference_table, preferred
from bertology.stats import benjamini_hochberg, holm, wilson


def swapped(pairs):
    turned = (replace(pair, good=pair.bad, bad=pair.good) for pair in pairs.pairs)
    return MinimalPairs(pairs.name, tuple(turned), pairs.sha256)


def made_up(sizes, rng):
    """Scores of pairs of paradigms p0, p1, …, two to a phenomenon, without any preference."""
    paradigm = np.repeat([f"p{i}" for i in range(len(sizes))], sizes)
    phenomenon = np.repeat([f"f{i // 2}" for i in range(len(sizes))], sizes)
    tokens = rng.integers(4, 6, (2, len(paradigm)))
    scores = pd.DataFrame({
        "paradigm": paradigm, "phenomenon": phenomenon, "unit": np.arange(len(paradigm)),
        "good_tokens": tokens[0], "bad_tokens": tokens[1],
    })  # fmt: skip
    return scores, rng.normal(-40, 5, (2, len(paradigm)))


def random_pairs(number, rng):
    """Two random sentences each, of four words; as many paradigms as phenomena, three."""
    texts = [" ".join(f"w{w}" for w in rng.integers(0, 52, 4)) for _ in range(2 * number)]
    pairs = (
        MinimalPair(good, bad, f"p{i % 3}", f"f{i % 3}", id=str(i))
        for i, (good, bad) in enumerate(zip(texts[::2], texts[1::2], strict=True))
    )
    return MinimalPairs("random", tuple(pairs), "0")


def test_preferences_of_a_model_whose_probabilities_are_known(bigrams, make_pairs):
    table = np.full((60, 60), 0.1 / 58)
    table[:, 10], table[:, 11] = 0.6, 0.3  # w2 is always twice as probable as w3.
    pairs = make_pairs([(f"w1 w{i} w2", f"w1 w{i} w3") for i in range(4, 44)])
    result = minimal_pairs(bigrams(table), pairs)
    assert (result.table["accuracy"] == 1).all()
    np.testing.assert_allclose(result.table["difference"], np.log(2), rtol=1e-5)
    low, _ = wilson(np.array(40), np.array(40))
    np.testing.assert_allclose(result.table["ci_low"], low)
    back = minimal_pairs(bigrams(table), swapped(pairs))
    assert (back.table["accuracy"] == 0).all()
    assert (back.table["p"] == result.table["p"]).all()
    assert (back.table["p"] < 0.001).all()


@pytest.mark.parametrize(("family", "task"), [("gpt2", "causal-lm"), ("bert", "masked-lm")])
def test_an_untrained_model_prefers_nothing_and_swapped_pairs_turn_it_round(
    tiny_model, family, task
):
    pairs, model = random_pairs(120, np.random.default_rng(1)), tiny_model(family, task)
    forth = minimal_pairs(model, pairs, normalise=("none", "token")).table
    back = minimal_pairs(model, swapped(pairs), normalise=("none", "token")).table
    low, high = binom.interval(0.999, 120, 0.5)
    overall = forth[forth["level"] == "overall"]
    assert ((overall["accuracy"] * 120 >= low) & (overall["accuracy"] * 120 <= high)).all()
    np.testing.assert_allclose(back["accuracy"], 1 - forth["accuracy"])
    np.testing.assert_allclose(back["difference"], -forth["difference"], rtol=1e-6)
    np.testing.assert_allclose(back["p"], forth["p"])
    # Sentences of equal length: the sum and the mean prefer the same.
    means = forth["measure"].str.endswith("_per_token").to_numpy()
    assert means.sum() == len(forth) / 2
    for column in ("accuracy", "n", "p"):
        np.testing.assert_array_equal(forth.loc[means, column], forth.loc[~means, column])


def test_ties_are_half_and_rounding_makes_no_preference():
    good, bad = np.array([-1.0, -2.0, -3.0, -3.0]), np.array([-2.0, -1.0, -3.0, -3.0 - 1e-7])
    assert preferred(good, bad).tolist() == [1.0, 0.0, 0.5, 0.5]
    assert preferred(good, bad + 1e-4).tolist() == [1.0, 0.0, 0.0, 0.0]


def test_means_over_paradigms_and_over_pairs():
    rng = np.random.default_rng(0)
    scores, (good, bad) = made_up([30, 90, 60], rng)
    good[:30] += 100  # The small paradigm is always right.
    table = preference_table(scores, {"m": (good, bad)}, seed=0).set_index(["level", "name"])
    correct = good > bad
    shares = [correct[:30].mean(), correct[30:120].mean(), correct[120:].mean()]
    accuracy = table["accuracy"]
    np.testing.assert_allclose(accuracy["paradigm"], shares)
    assert accuracy["phenomenon", "f0"] == pytest.approx(np.mean(shares[:2]))
    assert accuracy["overall", "paradigms"] == pytest.approx(np.mean(shares))
    assert accuracy["overall", "pairs"] == pytest.approx(correct.mean())
    assert table["difference"]["overall", "pairs"] == pytest.approx((good - bad).mean())
    assert table["n"].tolist() == [30, 90, 60, 120, 60, 180, 180]
    equal = (scores["good_tokens"] == scores["bad_tokens"]).to_numpy()
    assert table["n_equal_length"]["overall", "pairs"] == equal.sum()
    assert table["accuracy_equal_length"]["overall", "pairs"] == correct[equal].mean()
    for level, adjust in (("paradigm", benjamini_hochberg), ("phenomenon", holm)):
        np.testing.assert_allclose(table.loc[level, "p_adjusted"], adjust(table.loc[level, "p"]))
    assert (table.loc["overall", "p_adjusted"] == table.loc["overall", "p"]).all()


def test_few_pairs_are_only_described():
    scores, (good, bad) = made_up([29, 30], np.random.default_rng(0))
    table = preference_table(scores, {"m": (good, bad)}, seed=0)
    assert table["descriptive"].tolist() == [True, False, False, False, False]
    ends = [float(end) for end in wilson(np.array((good > bad)[:29].sum()), np.array(29))]
    assert table.loc[0, ["ci_low", "ci_high"]].tolist() == pytest.approx(ends)
    assert table.loc[0, ["p", "p_adjusted", "difference_ci_low"]].isna().all()
    assert table.loc[1, ["p", "p_adjusted", "difference_ci_low"]].notna().all()


def test_intervals_hold_the_truth_and_tests_flag_as_often_as_they_say():
    # Paradigms of very different accuracy: an interval that took them for a sample would be
    # far too wide for the mean over these two.
    rng = np.random.default_rng(100)
    sizes, shares = [150, 300], [0.1, 0.9]
    group = PairGroup(np.repeat([0, 1], sizes), np.arange(450))
    draws = rng.random((450, 1500)) < np.repeat(shares, sizes)[:, None]
    _, low, high = group.accuracy(draws.astype(float), seed=0)
    held = ((low <= 0.5) & (high >= 0.5)).mean()
    assert 0.93 <= held <= 0.97
    as_one = PairGroup(np.zeros(450), np.arange(450), pooled=True)
    _, low, high = as_one.accuracy(draws.astype(float), seed=0)
    assert np.mean(high - low) > 1.3 * 4 * 0.5 * np.sqrt(0.09 / 150 + 0.09 / 300)
    guesses = (rng.random((450, 1500)) < 0.5) - 0.5
    flagged = (group.p(guesses, seed=0) <= 0.05).sum()
    assert binom.ppf(0.001, 1500, 0.05) <= flagged <= binom.ppf(0.999, 1500, 0.05)
    assert (group.p(guesses + 0.15, seed=0) <= 0.05).mean() > 0.9


def test_pairs_that_share_a_sentence_are_one_unit(make_pairs):
    pairs = make_pairs([("a", "b"), ("c", "d"), ("e", "b"), ("f", "e"), ("g", "h"), ("d", "i")])
    units = units_of_pairs(pairs.pairs)
    assert (units[:, None] == units).astype(int).tolist() == [
        [1, 0, 1, 1, 0, 0],
        [0, 1, 0, 0, 0, 1],
        [1, 0, 1, 1, 0, 0],
        [1, 0, 1, 1, 0, 0],
        [0, 0, 0, 0, 1, 0],
        [0, 1, 0, 0, 0, 1],
    ]


def test_repeated_pairs_make_no_interval_narrower():
    correct = (np.random.default_rng(0).random((60, 1)) < 0.7).astype(float)
    once = PairGroup(np.zeros(60), np.arange(60))
    often = PairGroup(np.zeros(300), np.tile(np.arange(60), 5))
    repeated = np.tile(correct, (5, 1))
    for first, second in zip(
        once.accuracy(correct, seed=0), often.accuracy(repeated, seed=0), strict=True
    ):
        np.testing.assert_allclose(first, second)
    np.testing.assert_allclose(once.p(correct - 0.5, seed=0), often.p(repeated - 0.5, seed=0))
    apart = PairGroup(np.zeros(300), np.arange(300))
    assert np.ptp(apart.accuracy(repeated, seed=0)[1:]) < 0.6 * np.ptp(
        often.accuracy(repeated, seed=0)[1:]
    )


def test_scores_of_pairs_give_the_table_and_are_saved(tiny_model, tmp_path):
    pairs = random_pairs(60, np.random.default_rng(0))
    result = minimal_pairs(tiny_model("llama", "causal-lm"), pairs, normalise="character", seed=3)
    scores = result.scores
    each = [scores[f"{side}_log_probability"] / scores[f"{side}_characters"]
            for side in ("good", "bad")]  # fmt: skip
    pooled = result.table.iloc[-1]
    assert pooled["measure"] == "log_probability_per_character"
    assert pooled["accuracy"] == (each[0] > each[1]).mean()
    assert pooled["difference"] == pytest.approx((each[0] - each[1]).mean())
    assert scores["good_sentence"].tolist() == [pair.good for pair in pairs.pairs]
    assert result.provenance.unit == "pair"
    assert result.provenance.sentences == result.provenance.options["independent_units"] == 60
    again = Preferences.load(result.save(tmp_path))
    assert_frame_equal(again.table, result.table)
    assert_frame_equal(again.scores, result.scores)


def test_pairs_that_do_not_fit_are_left_out_and_named(tiny_model, make_pairs):
    model = tiny_model("gpt2", "causal-lm")
    pairs = make_pairs([("w1 w2", "w2 w1"), ("w1 w2", " ".join(["w1"] * 41)), ("w1", "w2 w2")])
    result = minimal_pairs(model, pairs)
    assert result.provenance.skipped == [
        ["p 1", "41 tokens, the model reads at most 40"],
        ["p 2", "it is a single token, which nothing predicts"],
    ]
    assert result.table["n"].tolist() == [1, 1, 1, 1]
    with pytest.raises(CorpusError, match=r"No pair of made up can be scored.*single token"):
        minimal_pairs(model, make_pairs([("w1", "w2")]))


def test_what_is_asked_for_wrongly_is_refused(tiny_model, make_pairs):
    pairs = make_pairs([("w1 w2", "w2 w1")])
    for normalise in ("word", ("none", "word"), ()):
        with pytest.raises(ModelError, match="choose from none, token, character"):
            minimal_pairs(tiny_model("gpt2", "causal-lm"), pairs, normalise=normalise)
    with pytest.raises(ModelError, match="acceptability_probes"):
        minimal_pairs(tiny_model("bert"), pairs)


def test_a_small_story_model_on_blimp(shared_file):
    model = bertology.load_model(shared_file("models/stories260K"))
    pairs = read_minimal_pairs(shared_file("probing/blimp/principle_A_domain_1.jsonl")).first(60)
    table = minimal_pairs(model, pairs).table
    back = minimal_pairs(model, swapped(pairs)).table
    assert (table["ci_low"] > 0.5).all()
    assert (table["p_adjusted"] < 0.001).all()
    np.testing.assert_allclose(back["accuracy"], 1 - table["accuracy"])
