"""Probes of acceptability: what they find, what they must not find, and against what."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pandas.testing import assert_frame_equal
from scipy.stats import binom

from bertology.corpora import MinimalPair, MinimalPairs
from bertology.errors import CorpusError
from bertology.probing.representations.minimal_pairs import (
    AcceptabilityProbes,
    acceptability_probes,
)
from bertology.probing.representations.minimal_pairs.acceptability_tables import (
    Answers,
    acceptability_table,
    comparison_table,
)
from bertology.probing.representations.minimal_pairs.differences import (
    state_differences,
    word_differences,
)
from bertology.probing.representations.minimal_pairs.groups import PairGroup
from bertology.probing.representations.minimal_pairs.pairwise import (
    FOLDS,
    draw_signs,
    random_folds,
    scored_by_others,
)
from bertology.stats import benjamini_hochberg, wilson

#: Two templates: one word order is good in both, whatever the words.
ORDERS = {
    "p": ("w{a} w{b} w50 w{c}", "w{a} w50 w{b} w{c}"),
    "q": ("w{a} w{b} w51", "w51 w{a} w{b}"),
}


def ordered_pairs(number, seed=0):
    rng = np.random.default_rng(seed)
    pairs = []
    for paradigm, templates in ORDERS.items():
        for i in range(number):
            a, b, c = rng.choice(50, 3, replace=False)
            good, bad = (template.format(a=a, b=b, c=c) for template in templates)
            pairs.append(MinimalPair(good, bad, paradigm, "order", id=str(i)))
    return MinimalPairs("orders", tuple(pairs), "0")


def chance(pairs):
    low, high = binom.interval(0.999, pairs, 0.5)
    return low / pairs, high / pairs


def test_signal_is_found_and_noise_is_not():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((150, 8)).astype(np.float32)
    signs, units, shift = draw_signs(150, seed=0), np.arange(150), 4 * np.eye(8)[0]
    folds = random_folds(np.zeros(150), units, seed=0)
    low, high = chance(150)
    found = scored_by_others(noise, signs, folds, units, seed=0).mean(axis=1)
    assert ((found >= low) & (found <= high)).all()
    found = scored_by_others(noise + shift, signs, folds, units, seed=0).mean(axis=1)
    assert found[0] > 0.95
    assert ((found[1:] >= low) & (found[1:] <= high)).all()
    # Bad minus good is the same question.
    turned = scored_by_others(-noise - shift, signs, folds, units, seed=0)
    np.testing.assert_array_equal(turned.mean(axis=1), found)


def test_a_template_left_out_shows_what_templates_share():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((120, 8)).astype(np.float32)
    noise[:, :2] = 0
    paradigms, units = np.repeat(["a", "b"], 60), np.arange(120)
    signs, folds = draw_signs(120, seed=0), random_folds(paradigms, units, seed=0)
    shared, apart = noise.copy(), noise.copy()
    shared[:, 0] += 4
    apart[np.arange(120), (paradigms == "b").astype(int)] += 4
    share = {
        (name, split): scored_by_others(x, signs, parts, units, seed=0)[0].mean()
        for name, x in (("shared", shared), ("apart", apart))
        for split, parts in (("pairs", folds), ("paradigms", paradigms))
    }
    assert share["shared", "pairs"] > 0.95 and share["shared", "paradigms"] > 0.95
    assert share["apart", "pairs"] > 0.95
    low, high = chance(120)
    assert low <= share["apart", "paradigms"] <= high


def test_a_unit_is_never_trained_and_scored_on():
    # Chance labels of many features can be learned by heart, but not told of other pairs.
    rng = np.random.default_rng(0)
    features = np.tile(rng.standard_normal((50, 80)), (3, 1)).astype(np.float32)
    signs = np.tile(draw_signs(50, seed=0), 3)
    whole, torn = np.tile(np.arange(50), 3), np.arange(150)
    kept = scored_by_others(features, signs, random_folds(torn * 0, whole, seed=0), whole, seed=0)
    low, high = chance(50)
    assert ((kept[1:].mean(axis=1) >= low) & (kept[1:].mean(axis=1) <= high)).all()
    leaked = scored_by_others(features, signs, random_folds(torn * 0, torn, seed=0), torn, seed=0)
    assert (leaked[1:].mean(axis=1) > 0.9).all()
    # Nor where the parts themselves would tear units.
    parts = random_folds(torn * 0, torn, seed=0)
    kept = scored_by_others(features, signs, parts, whole, seed=0)[1:].mean(axis=1)
    assert (kept < 0.75).all()


def test_folds_are_even_within_paradigms_and_keep_units_whole():
    paradigms = np.repeat(["a", "b"], [23, 40])
    units = np.arange(63) // 2
    folds = random_folds(paradigms, units, seed=0)
    assert all(len(set(folds[units == unit])) == 1 for unit in units)
    singles = random_folds(paradigms, np.arange(63), seed=0)
    for name in ("a", "b"):
        counts = np.bincount(singles[paradigms == name], minlength=FOLDS)
        assert np.ptp(counts) <= 1
    assert (singles != random_folds(paradigms, np.arange(63), seed=1)).any()


def test_differences_of_states_are_means_over_the_texts_own_tokens(tiny_model):
    model, pairs = tiny_model("bert"), ordered_pairs(5).pairs
    states, kept, skipped = state_differences(model, pairs)
    assert states.shape == (4, 10, 32)
    assert (kept.tolist(), skipped) == (list(range(10)), [])

    def mean(text):
        ids = torch.tensor([model.tokenizer(text).input_ids])
        with torch.no_grad():
            hidden = model.module(ids, output_hidden_states=True).hidden_states
        return torch.stack([state[0, 1:-1].mean(0) for state in hidden]).numpy()

    for i, pair in enumerate(pairs):
        np.testing.assert_allclose(states[:, i], mean(pair.good) - mean(pair.bad), atol=1e-5)


def test_word_counts_know_words_and_no_order(make_pairs):
    assert word_differences(ordered_pairs(4).pairs).shape == (8, 0)
    pairs = make_pairs([("The cat isn't here, no.", "the the cat is here, no!")])
    # In the order of the vocabulary: ! ' . is isn t the
    assert word_differences(pairs.pairs).tolist() == [[-1, 1, 1, -1, 1, 1, -1]]


def test_probes_find_the_order_that_counts_of_words_cannot(tiny_model, tmp_path):
    pairs = ordered_pairs(30)
    result = acceptability_probes(tiny_model("bert"), pairs)
    table = result.table
    assert table["split"].tolist() == ["pairs"] * 5 + ["paradigms"] * 5
    words = table[table["probe"] == "bag_of_words"]
    assert (words["accuracy"] == 0.5).all() and (words["control"] == 0.5).all()
    linear = table[(table["probe"] == "linear") & (table["split"] == "pairs")]
    assert linear["layer"].tolist() == [0, 1, 2, 3]
    low, high = chance(60)
    assert linear["accuracy"].max() > high + 0.1
    assert linear["control"].between(low, high).all()
    np.testing.assert_allclose(linear["selectivity"], linear["accuracy"] - linear["control"])
    assert (linear["n"] == 60).all()
    again = AcceptabilityProbes.load(result.save(tmp_path))
    assert_frame_equal(again.table, table)
    assert_frame_equal(again.comparisons, result.comparisons)


def test_answers_make_the_tables():
    rng = np.random.default_rng(0)
    group = PairGroup(np.repeat(["a", "b"], [30, 60]), np.arange(90))
    correct = {layer: (rng.random((4, 90)) < share).astype(float)
               for layer, share in ((None, 0.5), (0, 0.6), (1, 0.9))}  # fmt: skip
    answers = [Answers("f", "pairs", layer, group, rows) for layer, rows in correct.items()]

    def mean(values):
        return (values[..., :30].mean(-1) + values[..., 30:].mean(-1)) / 2

    table = acceptability_table(answers, seed=0)
    for row, rows in zip(table.to_dict("records"), correct.values(), strict=True):
        assert row["accuracy"] == pytest.approx(mean(rows[0]))
        assert row["control"] == pytest.approx(mean(rows[1:]).mean())
        assert row["control_sd"] == pytest.approx(mean(rows[1:]).std(ddof=1))
        assert row["ci_low"] < row["accuracy"] < row["ci_high"]
    compared = comparison_table(answers, seed=0)
    keys = list(zip(compared["against"], compared["layer"], strict=True))
    assert keys == [("chance", 0), ("chance", 1), ("bag_of_words", 0), ("bag_of_words", 1),
                    ("layer_0", 1)]  # fmt: skip
    against = {
        "chance": np.full(90, 0.5),
        "bag_of_words": correct[None][0],
        "layer_0": correct[0][0],
    }
    for row in compared.to_dict("records"):
        expected = mean(correct[row["layer"]][0] - against[row["against"]])
        assert row["difference"] == pytest.approx(expected)
    assert compared["p"][1] < 0.001
    for _, family in compared.groupby("against"):
        np.testing.assert_allclose(family["p_adjusted"], benjamini_hochberg(family["p"]))


def test_few_pairs_are_only_described_and_long_ones_left_out(tiny_model):
    pairs = ordered_pairs(10).pairs[:10]
    long = replace(pairs[0], good=" ".join(["w1"] * 39), id="long")
    result = acceptability_probes(tiny_model("bert"), MinimalPairs("few", (*pairs, long), "0"))
    assert result.provenance.skipped == [["p long", "41 tokens, the model reads at most 40"]]
    # One template cannot be left out.
    assert set(result.table["split"]) == {"pairs"}
    assert (result.table["n"] == 10).all()
    assert result.table["descriptive"].all() and result.comparisons["p"].isna().all()
    ends = [float(end) for end in wilson(np.array(5), np.array(10))]
    assert result.table.loc[0, ["ci_low", "ci_high"]].tolist() == pytest.approx(ends)


def test_too_few_pairs_are_refused(tiny_model):
    model, pairs = tiny_model("bert"), ordered_pairs(10).pairs[:10]
    with pytest.raises(CorpusError, match=r"fewer than 10 pairs of 'order' \(9\)"):
        acceptability_probes(model, MinimalPairs("few", pairs[:9], "0"))
    with pytest.raises(CorpusError, match="pairs of any phenomenon"):
        acceptability_probes(model, MinimalPairs("none", (), "0"))
    long = replace(pairs[0], good=" ".join(["w1"] * 39), id="long")
    with pytest.raises(CorpusError, match="as far as it fits tiny bert"):
        acceptability_probes(model, MinimalPairs("x", (*pairs[1:], long), "0"))
