"""The tables of a sweep: what their numbers are, on made-up states."""

from dataclasses import replace

import numpy as np
import pytest
from pandas.testing import assert_frame_equal
from scipy.stats import binom

from bertology.corpora.text import words_to_sentence
from bertology.probing.representations.sweep.options import ProbeOptions
from bertology.probing.representations.sweep.pieces import Pieces
from bertology.probing.representations.sweep.problems import pose
from bertology.probing.representations.sweep.readings import Reading
from bertology.probing.representations.sweep.run import sweep
from bertology.probing.representations.sweep.sources import Source
from bertology.probing.representations.tasks import TASKS, Item, Task, word_task
from bertology.stats import benjamini_hochberg, bootstrap_ratio, holm, wilson


def swept(train, evaluate, tasks=("upos",), others=(), **options):
    """The tables of a sweep over states; `others` are further sources by name."""
    chosen = ProbeOptions(**{"training_samples": 0, **options})
    problems = [
        pose(TASKS.get(task, task), train, evaluate, control_draws=chosen.control_draws,
             seed=chosen.seed)
        for task in tasks
    ]  # fmt: skip
    sources = [Source("model", 0, lambda: (train, evaluate)), *others]
    reading = Reading(train, evaluate, tuple(problems), tuple(sources))
    return sweep([reading], chosen, Pieces())


def relabelled(states, change):
    """The same states with other labels."""
    sentences = tuple(
        replace(s, upos=tuple(change(5 * i + k, tag) for k, tag in enumerate(s.upos)))
        for i, s in enumerate(states.sentences)
    )
    return replace(states, sentences=sentences)


def words_of(states):
    return [word for sentence in states.sentences for word in sentence.words]


def tags_of(states):
    return np.array([tag for sentence in states.sentences for tag in sentence.upos])


@pytest.fixture(scope="module")
def tables(parts):
    return swept(*parts, training_samples=4)


@pytest.fixture(scope="module")
def table(tables):
    return tables["table"]


def test_labels_in_one_hidden_state_are_found_there_only(table):
    assert table["value"][1] == 1.0
    # Guessing is right at most as often as the most frequent label, half of the time.
    assert table["value"][0] <= binom.ppf(0.999, 300, 0.5) / 300
    assert table["value"][0] >= binom.ppf(0.001, 300, 1 / 3) / 300
    # Control labels hang on the type, which these features do not hold.
    assert table["control"][:2].max() < 0.65


def test_majority_is_the_frequency_of_the_most_frequent_label(parts, table):
    majority = table[table["probe"] == "majority"].iloc[0]
    assert majority["value"] == pytest.approx((tags_of(parts[1]) == "NOUN").mean())


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


def test_labels_unseen_in_training_are_errors(parts):
    train, evaluate = parts
    with pytest.warns(UserWarning, match=r"60 of 300 .* 'X' \(60\)"):
        other = swept(train, relabelled(evaluate, lambda i, tag: "X" if i < 60 else tag))["table"]
    assert other["n"].tolist() == [300] * 4
    assert other["value"][1] == pytest.approx(240 / 300)


def test_words_without_a_label_are_left_out(parts):
    train, evaluate = parts
    other = swept(train, relabelled(evaluate, lambda i, tag: tag if i % 3 else "_"))["table"]
    assert other["n"].tolist() == [200] * 4


def test_words_of_unseen_types_are_scored_apart(parts, table):
    train, evaluate = parts
    unseen = [word not in set(words_of(train)) for word in words_of(evaluate)]
    assert table["n_unseen_words"].tolist() == [sum(unseen)] * 4
    lookup = table[table["probe"] == "lookup"].iloc[0]
    nouns = (tags_of(evaluate) == "NOUN")[unseen]
    assert lookup["value_unseen_words"] == pytest.approx(nouns.mean())
    assert table["lookup_unseen_words"].tolist() == [lookup["value_unseen_words"]] * 4
    # A bootstrap over sentences of the unseen words alone; of one that is always right, no width.
    units = np.repeat(np.arange(60), 5)[unseen]
    counts = np.bincount(units, minlength=60)
    rights = np.bincount(units, weights=nouns, minlength=60)
    filled = counts > 0
    _, low, high = bootstrap_ratio(rights[filled], counts[filled], seed=0)
    assert lookup["unseen_ci_low"] == pytest.approx(low)
    assert lookup["unseen_ci_high"] == pytest.approx(high)
    assert table.loc[1, ["unseen_ci_low", "unseen_ci_high"]].tolist() == [1.0, 1.0]


def test_few_words_of_unseen_types_have_wilsons_interval(make_states):
    table = swept(make_states(0, 400, 10.0, forms=100), make_states(1, 300, 10.0, forms=105))[
        "table"
    ]
    n = table["n_unseen_words"][0]
    assert 0 < n < 30 and not table["descriptive"].any()
    low, high = wilson(n * table["value_unseen_words"], np.array(n))
    assert table["unseen_ci_low"].tolist() == pytest.approx(low.tolist())
    assert table["unseen_ci_high"].tolist() == pytest.approx(high.tolist())
    none = swept(make_states(0, 400, 10.0, forms=9), make_states(1, 300, 10.0, forms=9))["table"]
    unseen = ["value_unseen_words", "unseen_ci_low", "unseen_ci_high", "lookup_unseen_words"]
    assert none[unseen].isna().all(axis=None)


def test_control_labels_of_pairs_are_seen_with_their_first_span(parts):
    train, evaluate = parts
    other = tuple(
        words_to_sentence([s.words[0], f"{s.words[1]}x", *s.words[2:]], id=s.id, upos=s.upos)
        for s in evaluate.sentences
    )
    first = Task("first", "pair", lambda s: [Item(((0, 1), (1, 2)), s.upos[0])], "tags")
    table = swept(train, replace(evaluate, sentences=other), tasks=(first,))["table"]
    # No pair returns, many first words do.
    assert (table["n_unseen_words"] == len(other)).all()
    known = {s.words[0] for s in train.sentences}
    seen = np.mean([s.words[0] in known for s in other])
    lookup = table.set_index("probe").loc["lookup"]
    assert lookup["control_seen_words"] == 1.0
    assert 0.1 < seen <= lookup["control"] < 1.0


def test_little_data_is_descriptive_and_not_tested(make_states):
    found = swept(make_states(0, 60, 10.0), make_states(1, 25, 10.0))
    table = found["table"]
    assert table["descriptive"].all()
    assert table["ci_high"][1] == 1.0
    assert 0.8 < table["ci_low"][1] < 1.0
    assert table["selectivity_ci_low"].isna().all()
    for name in ("tests", "best"):
        assert found[name]["descriptive"].all()
        assert found[name][["p", "p_adjusted"]].isna().all(axis=None)


def test_the_same_seed_gives_the_same_tables(parts, tables):
    again = swept(*parts, training_samples=4)
    for name, table in tables.items():
        assert_frame_equal(again[name], table, check_exact=True)
    other = swept(*parts, training_samples=4, seed=1)["table"]
    assert not other["control"].equals(tables["table"]["control"])
    assert not other["ci_low"].equals(tables["table"]["ci_low"])


def test_tasks_solved_together_are_as_if_solved_alone(parts):
    capital = word_task("odd", lambda s: [str(len(word) % 2) for word in s.words], "words")
    both = swept(*parts, tasks=("upos", capital))
    for task in ("upos", capital):
        alone = swept(*parts, tasks=(task,))["table"]
        name = task if isinstance(task, str) else task.name
        same = both["table"][both["table"]["task"] == name].reset_index(drop=True)
        assert_frame_equal(same, alone, rtol=1e-9)


def test_the_spread_over_training_samples_is_that_of_the_linear_probe_alone(table):
    linear = table["probe"] == "linear"
    assert (table.loc[linear, "training_sd"] >= 0).all()
    # What is perfectly legible is so from every sample; noise is read otherwise from each.
    assert table["training_sd"][1] == 0.0 < table["training_sd"][0]
    assert table.loc[~linear, "training_sd"].isna().all()
    assert table[["seed_sd", "random_model_sd"]].isna().all(axis=None)


def test_every_layer_is_compared_with_what_it_should_beat(tables):
    tests = tables["tests"]
    found = tests.set_index(["layer", "against"])["difference"]
    assert sorted(found.index) == [
        (0, "lookup"), (1, "layer_0"), (1, "lookup"), (1, "previous_layer"),
    ]  # fmt: skip
    value = tables["table"]["value"]
    assert found[1, "layer_0"] == pytest.approx(value[1] - value[0])
    assert found[1, "previous_layer"] == found[1, "layer_0"]
    assert tests.set_index(["layer", "against"])["p_adjusted"][1, "layer_0"] < 0.001


def test_other_sources_are_rows_and_rivals(parts, make_states):
    blank = make_states(0, 400, 0.0), make_states(1, 300, 0.0)
    others = [Source("random_layers", number, lambda: blank) for number in range(2)]
    found = swept(*parts, others=others)
    table = found["table"]
    rows = table[table["source"] == "random_layers"]
    assert rows["layer"].tolist() == [0, 1]
    # Two sources that are the same do not spread.
    assert (rows["random_model_sd"] == 0).all()
    assert table.loc[table["source"] != "random_layers", "random_model_sd"].isna().all()
    rivals = found["tests"].set_index(["layer", "against"])["difference"]
    assert rivals[1, "random_layers"] == pytest.approx(1.0 - rows["value"].iloc[1])
    # Layer 0 is the model's own: a certain p of 1 would only weigh on the others.
    assert (0, "random_layers") not in rivals


def test_embeddings_are_not_their_own_rival(parts, make_states):
    train, evaluate = (replace(s, read=lambda k, s=s: s.read(1 - k)) for s in parts)
    blank = tuple(
        replace(noise, read=lambda k, own=own, noise=noise: noise.read(k) if k else own.read(0))
        for own, noise in zip(
            (train, evaluate), (make_states(0, 400, 0.0), make_states(1, 300, 0.0)), strict=True
        )
    )
    others = [Source(name, 0, lambda: blank) for name in ("random_layers", "random_weights")]
    best = swept(train, evaluate, others=others)["best"]
    assert set(best["layer"]) == {0}
    assert best["against"].tolist() == ["lookup", "random_weights"]


def test_the_best_layer_is_chosen_without_the_evaluation_part(parts, tables):
    best = tables["best"]
    assert best["layer"].tolist() == [1, 1]
    assert best["against"].tolist() == ["lookup", "layer_0"]
    assert (best["p_adjusted"] < 0.001).all() and (best["p_adjusted"] >= best["p"]).all()
    assert best["value"].tolist() == [1.0, 1.0]
    # In training both layers have the labels, layer 0 less plainly; in the evaluation part layer 1
    # has lost them, and the choice stays as it is.
    train, evaluate = parts
    rng = np.random.default_rng(0)
    dim = 0.2 * train.read(1) + rng.standard_normal((400, 12)).astype(np.float32)
    seen = replace(train, read=lambda layer: train.read(1) if layer else dim)
    lost = replace(evaluate, read=lambda layer: evaluate.read(0 if layer else 1))
    found = swept(seen, lost)
    assert found["best"]["layer"].tolist() == [1, 1]
    value = found["table"]["value"]
    assert found["best"]["value"].tolist() == [value[1]] * 2
    assert value[0] > value[1] + 0.2


def test_families_are_corrected_as_they_are_said_to_be(make_states):
    other = word_task("same", lambda s: s.upos, "tags")
    found = swept(make_states(0, 300, 1.0), make_states(1, 300, 1.0), tasks=("upos", other))
    tests, best = found["tests"], found["best"]
    for _, family in tests.groupby("against"):
        np.testing.assert_allclose(family["p_adjusted"], benjamini_hochberg(family["p"]))
    np.testing.assert_allclose(best["p_adjusted"], holm(best["p"]))
    assert len(tests[tests["against"] == "lookup"]) == 4 and len(best) == 4


def test_the_control_labels_have_a_best_layer_of_their_own(parts):
    train, evaluate = parts
    forms = {word: number for number, word in enumerate(dict.fromkeys(words_of(train)))}
    rng = np.random.default_rng(0)
    places = rng.standard_normal((len(forms) + 1, 60)).astype(np.float32)

    def with_types(states):
        """Layer 0 tells the types apart, layer 1 the labels."""
        rows = [forms.get(word, len(forms)) for word in words_of(states)]
        return replace(states, read=lambda layer: states.read(1) if layer else places[rows])

    best = swept(with_types(train), with_types(evaluate))["best"]
    assert best["layer"].tolist() == [1, 1]
    assert best["control_layer"].tolist() == [0, 0]
