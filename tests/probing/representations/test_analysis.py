"""The probe analysis: what its numbers are, on made-up features and on the demo model."""

from dataclasses import replace

import numpy as np
import pytest
from pandas.testing import assert_frame_equal
from scipy.stats import binom

from bertology import BertologyError
from bertology.corpora import Corpus
from bertology.corpora.text import words_to_sentence
from bertology.errors import CorpusError
from bertology.probing.representations import Probes, WordStates, probe, split_documents
from bertology.probing.representations.fits import fit_baselines, fit_linear
from bertology.probing.representations.problems import pose
from bertology.probing.representations.table import probe_table

TAGS = np.array(["ADJ", "NOUN", "VERB"])


def made_up(rng, words, strength, forms=400):
    """Sentences of five words; hidden state 0 is noise, 1 holds the label at a strength."""
    labels = rng.choice(TAGS, words, p=[0.2, 0.5, 0.3])
    states = rng.standard_normal((2, words, 12)).astype(np.float32)
    states[1, :, :3] += strength * (labels[:, None] == TAGS)
    return WordStates(
        states=states,
        words=tuple(f"w{i}" for i in rng.integers(0, forms, words)),
        labels={"upos": labels},
        sentences=np.arange(words) // 5,
        units=np.arange(words) // 5,
        skipped=[],
        without_tokens=0,
    )


def table_of(train, evaluate, seed=0):
    problem = pose("upos", train, evaluate, control_draws=3, seed=seed)
    outcomes = fit_linear([problem], train, evaluate, seed=seed) + fit_baselines(problem)
    return probe_table(outcomes, evaluate.units[problem.rows], seed=seed)


@pytest.fixture(scope="module")
def parts():
    rng = np.random.default_rng(0)
    return made_up(rng, 400, 10.0), made_up(rng, 300, 10.0)


@pytest.fixture(scope="module")
def table(parts):
    return table_of(*parts)


@pytest.fixture(scope="module")
def demo_parts(sample):
    return split_documents(sample.first(40))


@pytest.fixture(scope="module")
def demo_probes(demo, demo_parts):
    return probe(demo, *demo_parts, tasks=("upos",))


def test_labels_in_one_hidden_state_are_found_there_only(table):
    assert table["value"][1] == 1.0
    # Guessing is right at most as often as the most frequent label, half of the time.
    assert table["value"][0] <= binom.ppf(0.999, 300, 0.5) / 300
    assert table["value"][0] >= binom.ppf(0.001, 300, 1 / 3) / 300
    # Control labels hang on the type, which these features do not hold.
    assert table["control"][:2].max() < 0.65


def test_majority_is_the_frequency_of_the_most_frequent_label(parts, table):
    majority = table[table["probe"] == "majority"].iloc[0]
    assert majority["value"] == pytest.approx((parts[1].labels["upos"] == "NOUN").mean())


def test_lookup_is_right_on_every_control_label_of_a_seen_type(table):
    lookup = table[table["probe"] == "lookup"].iloc[0]
    assert lookup["control_seen_words"] == 1.0
    assert lookup["control"] < 1.0
    assert lookup["over_lookup"] == lookup["over_lookup_ci_high"] == 0.0


def test_differences_are_differences_and_lie_in_their_intervals(table):
    np.testing.assert_allclose(table["selectivity"], table["value"] - table["control"])
    lookup = table.loc[table["probe"] == "lookup", "value"].item()
    np.testing.assert_allclose(table["over_lookup"], table["value"] - lookup, atol=1e-12)
    for name, low in (("value", "ci_low"), ("selectivity", "selectivity_ci_low")):
        assert (table[low] <= table[name]).all()
        assert (table[name] <= table[low.replace("low", "high")]).all()


def test_labels_unseen_in_training_are_errors(parts, table):
    train, evaluate = parts
    labels = evaluate.labels["upos"].copy()
    labels[:60] = "X"
    other = table_of(train, replace(evaluate, labels={"upos": labels}))
    assert other["n"].tolist() == [300] * 4
    assert other["value"][1] == pytest.approx(240 / 300)


def test_words_without_a_label_are_left_out(parts):
    train, evaluate = parts
    labels = evaluate.labels["upos"].copy()
    labels[::3] = "_"
    other = table_of(train, replace(evaluate, labels={"upos": labels}))
    assert other["n"].tolist() == [200] * 4


def test_words_of_unseen_types_are_scored_apart(parts, table):
    train, evaluate = parts
    unseen = [word not in set(train.words) for word in evaluate.words]
    assert table["n_unseen_words"].tolist() == [sum(unseen)] * 4
    lookup = table[table["probe"] == "lookup"].iloc[0]
    nouns = (evaluate.labels["upos"] == "NOUN")[unseen]
    assert lookup["value_unseen_words"] == pytest.approx(nouns.mean())


def test_little_data_is_descriptive():
    rng = np.random.default_rng(0)
    found = table_of(made_up(rng, 60, 10.0), made_up(rng, 25, 10.0))
    assert found["descriptive"].all()
    assert found["ci_high"][1] == 1.0
    assert 0.8 < found["ci_low"][1] < 1.0
    assert found["selectivity_ci_low"].isna().all()


def test_one_training_label_is_refused(parts):
    train, evaluate = parts
    alike = replace(train, labels={"upos": np.full(400, "NOUN")})
    with pytest.raises(CorpusError, match="1 label for the task 'upos'"):
        pose("upos", alike, evaluate, control_draws=3, seed=0)


def test_the_table_has_its_columns_and_rows(demo_probes, demo_parts):
    table = demo_probes.table
    assert table.columns[:10].tolist() == [
        "task", "layer", "probe", "metric", "value", "ci_low", "ci_high", "n", "control",
        "selectivity",
    ]  # fmt: skip
    assert str(table["layer"].dtype) == "Int64"
    assert table["layer"].dropna().tolist() == list(range(7))
    assert table["probe"].tolist() == ["linear"] * 7 + ["majority", "lookup"]
    assert set(table["n"]) == {sum(map(len, demo_parts[1].sentences))}


def test_the_demo_model_knows_parts_of_speech_beyond_the_type(demo_probes):
    table = demo_probes.table
    linear = table[table["probe"] == "linear"]
    majority = table.loc[table["probe"] == "majority", "value"].item()
    assert (linear["ci_low"] > majority).all()
    assert linear["over_lookup_ci_low"].max() > 0
    assert linear["selectivity_ci_low"].max() > 0


def test_the_same_seed_gives_the_same_table(parts, table):
    assert_frame_equal(table_of(*parts), table, check_exact=True)
    other = table_of(*parts, seed=1)
    assert not other["control"].equals(table["control"])
    assert not other["ci_low"].equals(table["ci_low"])


def test_the_same_seed_gives_the_same_table_from_a_model(tiny_model):
    rng = np.random.default_rng(0)
    sentences = tuple(
        words_to_sentence(
            [f"w{i}" for i in rng.integers(0, 52, 8)], id=f"s{n}", upos=tuple(rng.choice(TAGS, 8))
        )
        for n in range(20)
    )
    parts = split_documents(Corpus("in memory", sentences, "0" * 64))
    first, second = (probe(tiny_model("bert"), *parts, tasks=("upos",), seed=5) for _ in range(2))
    assert_frame_equal(first.table, second.table, check_exact=True)


def test_saved_equals_loaded(demo_probes, tmp_path):
    loaded = Probes.load(demo_probes.save(tmp_path))
    assert_frame_equal(loaded.table, demo_probes.table)
    assert loaded.provenance == demo_probes.provenance


def test_provenance_names_both_parts(demo_probes, demo_parts):
    found = demo_probes.provenance
    assert (found.data, found.options["train"]) == (demo_parts[1].name, demo_parts[0].name)
    assert found.sentences == len(demo_parts[1])


def test_the_same_corpus_twice_is_refused(demo, sample):
    with pytest.raises(CorpusError, match="split one with split_documents"):
        probe(demo, sample, sample)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": ("pos",)}, "'pos' is unknown; choose from upos, deprel"),
        ({"tasks": "upos"}, "give a sequence of names"),
        ({"tasks": ()}, "give a sequence of names"),
        ({"control_draws": 1}, "at least 3"),
    ],
)
def test_bad_options_are_refused(demo, demo_parts, options, message):
    with pytest.raises(BertologyError, match=message):
        probe(demo, *demo_parts, **options)


def test_a_treebank_without_the_column_is_refused(demo, demo_parts):
    bare = tuple(
        words_to_sentence(["A", "word"], id=f"s{n}", upos=("_", "_"), heads=(1, -1),
                          deprels=("det", "root"))
        for n in range(3)
    )  # fmt: skip
    corpus = Corpus("bare.conllu", bare, "0" * 64)
    with pytest.raises(CorpusError, match=r"'upos' cannot be probed on bare.conllu.*UPOS"):
        probe(demo, demo_parts[0], corpus)
    with pytest.raises(CorpusError, match="on bare"):
        probe(demo, corpus, demo_parts[0], tasks=("upos",))
