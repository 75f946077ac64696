"""The probe analysis from model and corpora to its tables."""

from dataclasses import replace

import numpy as np
import pytest
from pandas.testing import assert_frame_equal

from bertology import BertologyError
from bertology.capture import write_store
from bertology.corpora import Corpus
from bertology.corpora.text import words_to_sentence
from bertology.errors import CaptureError, CorpusError, OutputError
from bertology.probing.representations import (
    Item,
    Probes,
    Task,
    probe,
    split_documents,
    word_task,
)

TAGS = ("ADJ", "NOUN", "VERB")


def treebank(sentences: int, seed: int, words: int = 6) -> Corpus:
    """Sentences in the vocabulary of the tiny models; the tag is decided by the word.

    Every word hangs from the one before it, and is its `next`.
    """
    rng = np.random.default_rng(seed)
    found = []
    for number in range(sentences):
        drawn = rng.integers(0, 52, words)
        found.append(
            words_to_sentence(
                [f"w{word}" for word in drawn],
                id=f"s{seed}-{number}",
                upos=tuple(TAGS[word % 3] for word in drawn),
                heads=tuple(range(-1, words - 1)),
                deprels=("root", *["next"] * (words - 1)),
            )
        )
    return Corpus(f"made up {seed}", tuple(found), str(seed) * 64)


@pytest.fixture(scope="module")
def parts():
    return treebank(40, 0), treebank(30, 1)


@pytest.fixture(scope="module")
def everything(tiny_model, parts):
    """Two tasks, all controls, two random models."""
    following = word_task("following", lambda s: [*s.upos[1:], "_"], "tags")
    return probe(
        tiny_model("bert"), *parts, tasks=("upos", following), layers=(0, 2),
        controls=("random_weights", "random_layers", "shuffled_words"), random_models=2,
        training_samples=0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def demo_probes(demo, sample):
    parts = split_documents(sample.first(40))
    return probe(demo, *parts, tasks=("upos",), layers=(0, 3), training_samples=2), parts


def test_the_table_has_its_columns_and_rows(everything):
    table = everything.table
    assert table.columns[:10].tolist() == [
        "task", "layer", "probe", "metric", "value", "ci_low", "ci_high", "n", "control",
        "selectivity",
    ]  # fmt: skip
    assert str(table["layer"].dtype) == "Int64"
    rows = table.dropna(subset="layer")
    assert list(zip(rows["task"], rows["source"], rows["layer"], strict=True)) == [
        (task, source, layer)
        for task in ("upos", "following")
        for source in ("model", "random_weights", "random_layers", "shuffled_words")
        for layer in (0, 2)
    ]
    baselines = table[table["layer"].isna()]
    assert baselines["probe"].tolist() == ["majority", "lookup"] * 2
    assert set(table.loc[table["task"] == "upos", "n"]) == {180}


def test_spreads_stand_where_they_apply(everything):
    table = everything.table
    random = table["source"].str.startswith("random")
    assert table.loc[random, "random_model_sd"].notna().all()
    assert table.loc[~random, "random_model_sd"].isna().all()
    assert table["seed_sd"].isna().all()


def test_embeddings_are_those_of_the_model_where_they_are_kept(everything):
    linear = everything.table.query("probe == 'linear' and task == 'upos' and layer == 0")
    value = linear.set_index("source")["value"]
    assert value["random_layers"] == value["model"] != value["random_weights"]


def test_every_source_is_something_to_beat(everything):
    tests = everything.tests.query("task == 'upos' and layer == 2").set_index("against")
    assert set(tests.index) == {
        "lookup", "layer_0", "previous_layer", "random_weights", "random_layers", "shuffled_words"
    }  # fmt: skip
    table = everything.table.query("task == 'upos' and layer == 2").set_index("source")["value"]
    for source in ("random_weights", "random_layers", "shuffled_words"):
        assert tests.loc[source, "difference"] == pytest.approx(table["model"] - table[source])
    # Here the type says it all, so nothing beats the lookup.
    assert (
        everything.tests.query("task == 'upos' and against == 'lookup'")["difference"] <= 0
    ).all()


@pytest.mark.slow
def test_a_mix_consists_of_its_layers(tiny_model, parts):
    found = probe(
        tiny_model("bert"), *parts, tasks=("upos",), probes=("mix",), layers=(0, 2), controls=(),
        seeds=2,
    )  # fmt: skip
    mix = found.mix.set_index("quantity")
    assert mix.loc["weight", "layer"].tolist() == [0, 2]
    assert mix.loc["weight", "value"].sum() == pytest.approx(1)
    assert mix.loc["centre_of_gravity", "value"] == pytest.approx(
        2 * mix.loc["weight", "value"].iloc[1]
    )
    assert found.table.loc[found.table["probe"] == "mix", "seed_sd"].notna().all()


def test_the_demo_model_knows_parts_of_speech_beyond_the_type(demo_probes):
    table = demo_probes[0].table
    linear = table[(table["probe"] == "linear") & (table["source"] == "model")]
    majority = table.loc[table["probe"] == "majority", "value"].item()
    assert (linear["ci_low"] > majority).all()
    assert linear["selectivity_ci_low"].max() > 0
    tests = demo_probes[0].tests.set_index(["layer", "against"])
    assert tests.loc[(3, "random_layers"), "difference"] > 0


def test_saved_equals_loaded(everything, tmp_path):
    loaded = Probes.load(everything.save(tmp_path))
    for name in ("table", "tests", "best", "mix", "mdl", "information", "curves"):
        assert_frame_equal(getattr(loaded, name), getattr(everything, name))
    assert loaded.provenance == everything.provenance


def test_provenance_names_both_parts(demo_probes):
    found, (train, evaluate) = demo_probes
    provenance = found.provenance
    assert (provenance.data, provenance.options["train"]) == (evaluate.name, train.name)
    assert provenance.sentences == len(evaluate)
    assert provenance.options["controls"] == ["random_layers"]


def test_a_store_gives_what_the_model_gives(tiny_model, parts, tmp_path):
    model, options = tiny_model("bert"), {"tasks": ("upos",), "controls": (), "layers": (0, 2)}
    stores = [
        write_store(tmp_path / name, model, part, dtype="float32")
        for name, part in zip("ab", parts, strict=True)
    ]
    direct = probe(model, *parts, **options)
    stored = probe(model, *parts, **options, train_store=stores[0], eval_store=stores[1])
    assert_frame_equal(direct.table, stored.table, rtol=1e-6)
    with pytest.raises(CorpusError, match="has other sentences"):
        probe(model, *parts, **options, train_store=stores[1], eval_store=stores[0])
    with pytest.raises(OutputError, match="another pass"):
        probe(tiny_model("gpt2"), *parts, **options, train_store=stores[0])
    with pytest.raises(CaptureError, match=r"no hidden states \[9\]"):
        probe(model, *parts, tasks=("upos",), layers=(9,), train_store=stores[0])


def test_measures_are_tables_of_their_own(tiny_model, parts):
    found = probe(
        tiny_model("bert"), *parts, tasks=("upos",), layers=(0, 2), controls=(),
        training_samples=0, measures=("mdl", "information", "curves"),
    )  # fmt: skip
    for name in ("mdl", "information", "curves"):
        table = getattr(found, name)
        assert table.columns[:5].tolist() == ["task", "layer", "probe", "source", "model"]
        assert sorted(set(table["layer"])) == [0, 2]
    compression = found.mdl[found.mdl["metric"] == "compression"].set_index("layer")["value"]
    assert compression[0] > 1.2 and compression[0] > compression[2]
    information = found.information.query("metric == 'information'").set_index("layer")["value"]
    assert information[0] > 0.5 and information[0] > information[2]
    # The curve ends where the probe of the whole training part stands.
    last = found.curves.groupby("layer")["value"].last()
    linear = found.table[found.table["probe"] == "linear"].set_index("layer")["value"]
    np.testing.assert_allclose(last.to_numpy(), linear.to_numpy(), atol=0.02)


@pytest.mark.slow
def test_pairs_and_spans_have_probes_of_their_own(tiny_model, parts):
    neighbours = Task(
        "neighbours",
        "pair",
        lambda s: [Item(((i, i + 1), (i + 1, i + 2)), s.upos[i]) for i in range(len(s) - 1)],
        "tags",
    )
    found = probe(
        tiny_model("bert"), *parts, tasks=(neighbours,), layers=(0,), controls=(),
        probes=("linear", "mlp", "bilinear", "edge"), training_samples=0,
    )  # fmt: skip
    value = found.table.set_index("probe")["value"]
    # The first word of the pair decides, and all of them read it.
    assert value[["linear", "mlp", "bilinear", "edge"]].min() > value["majority"] + 0.2


def test_what_the_model_reads_is_what_the_task_wants(tiny_model, parts):
    found = probe(
        tiny_model("bert"), *parts, tasks=("upos", "bigram_shift"), layers=(2,), controls=(),
        training_samples=0,
    )  # fmt: skip
    n = found.table.groupby("task")["n"].first()
    assert n["upos"] == 180 and n["bigram_shift"] == 30


def test_the_same_corpus_twice_is_refused(demo, sample):
    with pytest.raises(CorpusError, match="split one with split_documents"):
        probe(demo, sample, sample)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": ("pos",)}, "'pos' is unknown; choose from upos"),
        ({"tasks": "upos"}, "give a sequence of names"),
        ({"tasks": ()}, "give a sequence of names"),
        ({"control_draws": 1}, "at least 3"),
        ({"probes": "linear"}, "give a sequence of names"),
        ({"layers": (9,)}, r"no hidden states \[9\]"),
    ],
)
def test_bad_options_are_refused(tiny_model, parts, options, message):
    with pytest.raises(BertologyError, match=message):
        probe(tiny_model("bert"), *parts, **options)


@pytest.mark.parametrize(
    ("measure", "message"),
    [("mdl", "9 sentences are too few for an online code"), ("curves", "9 sentences are too few")],
)
def test_too_few_sentences_for_a_measure_are_refused_before_training(
    tiny_model, parts, monkeypatch, measure, message
):
    monkeypatch.setattr(
        "bertology.probing.representations.sweep.kinds.fit_together",
        lambda *_, **__: pytest.fail("a probe was trained"),
    )
    train, evaluate = parts
    with pytest.raises(BertologyError, match=message):
        probe(tiny_model("bert"), train.first(9), evaluate, tasks=("upos",), measures=(measure,))


def test_a_treebank_without_the_column_is_refused_before_it_is_read(parts, monkeypatch):
    bare = tuple(
        words_to_sentence(["A", "word"], id=f"s{n}", upos=("_", "_")) for n in range(3)
    )  # fmt: skip
    corpus = Corpus("bare.conllu", bare, "0" * 64)
    with pytest.raises(CorpusError, match=r"'upos' cannot be probed on bare.conllu.*UPOS"):
        probe(None, parts[0], corpus, tasks=("upos",))
    with pytest.raises(CorpusError, match="on bare"):
        probe(None, corpus, parts[0], tasks=("upos",))


def test_sentences_without_a_tree_are_counted(tiny_model, parts):
    train, evaluate = parts
    flat = replace(evaluate.sentences[0], heads=(-1,) * 6)
    other = Corpus("made up", (flat, *evaluate.sentences[1:4]), "2" * 64)
    found = probe(
        tiny_model("bert"), train.first(6), other, probes=("structural",), tasks=("upos",),
        layers=(0,), controls=(),
    )  # fmt: skip
    assert found.provenance.options["sentences_left_out_of_trees"] == {
        "train": {"no_tree": 0, "without_tokens": 0},
        "evaluate": {"no_tree": 1, "without_tokens": 0},
    }
    dspr = found.table.query("metric == 'dspr'")
    assert (dspr["n"] == 1).all()  # all sentences have one length
