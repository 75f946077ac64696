"""The analysis end to end: a label that is planted in word forms, and tables made by hand."""

import numpy as np
import pytest
from pandas.testing import assert_frame_equal
from scipy.stats import binom
from sklearn.base import BaseEstimator, ClassifierMixin

import bertology
from bertology import BertologyError
from bertology.corpora import Corpus, encode_all
from bertology.corpora.text import words_to_sentence
from bertology.errors import CorpusError
from bertology.probing.representations.erasure import Erasure, RandomRank, erase_and_measure, erased
from bertology.probing.representations.erasure.analysis import default_probes
from bertology.probing.representations.erasure.family import Fitted
from bertology.probing.representations.erasure.scores import Score, erased_words
from bertology.probing.representations.erasure.table import COLUMNS, rows_of, table_of
from bertology.probing.representations.estimators.linear import LinearProbe
from bertology.probing.representations.splits import split_sentences
from bertology.probing.representations.states import states_of_model
from bertology.probing.representations.tasks import Item, Task, task_named, word_task
from bertology.stats import holm, sign_flip, wilson

PARITY = word_task("parity", lambda s: s.upos, "planted labels")
THIRD = word_task("third", lambda s: s.xpos, "planted labels")
PROBES = {"linear": LinearProbe(Cs=(1.0,))}


def planted(sentences=80, words=8):
    """Sentences of random words; labels are functions of the word form alone."""
    rng = np.random.default_rng(0)
    made = []
    for n in range(sentences):
        numbers = rng.integers(0, 12, words)
        made.append(
            words_to_sentence(
                [f"w{i}" for i in numbers],
                id=f"s{n}",
                upos=tuple("EVEN" if i % 2 == 0 else "ODD" for i in numbers),
                xpos=tuple("ABC"[i % 3] for i in numbers),
            )
        )
    return Corpus("planted", tuple(made), "0" * 64)


@pytest.fixture(scope="module")
def parts():
    return split_sentences(planted())


@pytest.fixture(scope="module", params=[("bert", "masked-lm"), ("llama", "causal-lm")], ids=str)
def erasure(request, tiny_model, parts):
    model = tiny_model(*request.param)
    return erase_and_measure(model, *parts, PARITY, [0], other_task=THIRD, probes=PROBES)


def rows(table, **wanted):
    found = table
    for column, value in wanted.items():
        found = found[found[column] == value]
    return found


def test_the_table_has_its_columns_and_rows(erasure):
    table = erasure.table
    assert table.columns.tolist() == list(COLUMNS)
    assert table.columns[:15].tolist() == [
        "task", "layer", "eraser", "rank", "removed_variance", "metric", "value", "ci_low",
        "ci_high", "n", "control", "difference", "difference_ci_low", "difference_ci_high",
        "p_adjusted",
    ]  # fmt: skip
    # Intact, and two erasers with three controls each; two tasks at two hidden states, and three
    # measures of prediction.
    assert len(table) == (1 + 2 * 4) * (2 * 2 + 3)
    assert table["metric"].str.endswith("token_accuracy").sum() == 9
    assert (rows(table, metric="kl_bits", eraser="none")["value"] == 0).all()
    assert (
        table.loc[(table["metric"] == "kl_bits") & (table["eraser"] != "none"), "value"] > 0
    ).all()


def test_what_is_erased_is_not_read_there_and_controls_leave_it(erasure):
    table = rows(erasure.table, metric="linear_accuracy", probed_task="parity", probed_layer=0)
    assert rows(table, eraser="none")["value"].item() > 0.95
    leace = rows(table, eraser="leace")
    # At chance, as far as so many words can tell.
    assert leace["value"].item() <= binom(leace["n"].item(), 0.5).ppf(0.999) / leace["n"].item()
    assert rows(table, eraser="inlp")["value"].item() < 0.62
    assert (rows(table, matched_to="leace", eraser="random_rank")["value"] > 0.95).all()
    assert (rows(table, matched_to="leace", eraser="random_variance")["value"] > 0.95).all()
    assert (rows(table, matched_to="leace", eraser="shuffled_labels")["value"] > 0.95).all()
    concept = rows(table, eraser="leace")
    assert concept["difference_ci_high"].item() < -0.3
    assert concept["p_adjusted"].item() < 0.01


def test_an_unrelated_task_stays_readable(erasure):
    table = rows(erasure.table, metric="linear_accuracy", probed_task="third", probed_layer=0)
    assert rows(table, eraser="leace")["value"].item() > 0.95
    assert rows(table, eraser="none")["majority"].item() < 0.5


def test_controls_match_what_they_say(erasure):
    table = rows(erasure.table, metric="kl_bits")
    for name in ("inlp", "leace"):
        family = rows(table, matched_to=name).set_index("eraser")
        concept = family.loc[name]
        assert family.loc["random_rank", "rank"] == concept["rank"] >= 1
        assert family.loc["shuffled_labels", "rank"] == concept["rank"]
        variance = family.loc["random_variance", "removed_variance"]
        assert variance == pytest.approx(concept["removed_variance"], abs=1e-6)
        assert family["draws"].tolist() == [1, 3, 3, 3]
        assert (family["sd_over_draws"].notna() == (family["draws"] > 1)).all()
    assert rows(table, eraser="leace")["rank"].item() == 1


def test_differences_are_differences_and_lie_in_their_intervals(erasure):
    table = erasure.table
    changed = table[table["eraser"] != "none"]
    np.testing.assert_allclose(changed["change"], changed["value"] - changed["intact"], atol=1e-9)
    concept = table[table["eraser"].isin(["inlp", "leace"])]
    np.testing.assert_allclose(concept["difference"], concept["value"] - concept["control"])
    for name in ("difference", "change", "over_random_variance", "over_shuffled_labels"):
        low, high = concept[f"{name}_ci_low"], concept[f"{name}_ci_high"]
        assert ((low <= concept[name] + 1e-12) & (concept[name] <= high + 1e-12)).all()
    keys = ["matched_to", "metric", "probed_task", "probed_layer"]
    for control, column in (("random_variance", "over_random_variance"),
                            ("shuffled_labels", "over_shuffled_labels")):  # fmt: skip
        both = concept.merge(rows(table, eraser=control), on=keys, suffixes=("", "_of_control"))
        assert len(both) == len(concept)
        np.testing.assert_allclose(both[column], both["value"] - both["value_of_control"])
    assert table.loc[~table.index.isin(concept.index), "p_adjusted"].isna().all()


def test_an_encoder_is_measured_by_its_embedding(tiny_model, parts):
    found = erase_and_measure(tiny_model("bert"), *parts, PARITY, [0, 3], probes=PROBES)
    cosines = rows(found.table, metric="embedding_cosine")
    assert cosines["n"].tolist() == [40] * 18
    assert (rows(cosines, eraser="none")["value"] > 1 - 1e-6).all()
    assert (cosines.loc[cosines["eraser"] != "none", "value"] < 0.9999).all()
    # The last hidden state is the erased one itself.
    linear = rows(found.table, metric="linear_accuracy", layer=3)
    assert len(linear) == 9
    assert linear["probed_layer"].tolist() == [3] * 9


def test_the_default_probes_are_linear_and_not(tiny_model):
    probes = default_probes(tiny_model("bert"), seed=7)
    assert {name: type(probe).__name__ for name, probe in probes.items()} == {
        "linear": "LinearProbe", "mlp": "MLPProbe",
    }  # fmt: skip
    assert [probe.seed for probe in probes.values()] == [7, 7]
    assert [probe.device for probe in probes.values()] == ["cpu", "cpu"]


def test_the_same_seed_gives_the_same_table(tiny_model, parts):
    few = [part.first(15) for part in parts]

    def again(seed):
        model = tiny_model("bert", "masked-lm")
        return erase_and_measure(model, *few, PARITY, [3], probes=PROBES, seed=seed).table

    first = again(3)
    assert_frame_equal(first, again(3), check_exact=True)
    other = again(4)
    assert not first["value"].equals(other["value"])


def test_saved_equals_loaded(erasure, tmp_path):
    loaded = Erasure.load(erasure.save(tmp_path))
    assert_frame_equal(loaded.table, erasure.table)
    assert loaded.provenance == erasure.provenance
    assert loaded.provenance.options["task"] == "parity"
    assert loaded.provenance.options["train_items"] == 40 * 8


class _FirstColumn(ClassifierMixin, BaseEstimator):
    """Says which label a word has by the sign of its first feature; learns nothing."""

    def fit(self, X, y, groups=None):
        self.classes_, self.groups_ = np.unique(y), groups
        assert len(groups) == len(X)
        return self

    def predict(self, X):
        return self.classes_[(X[:, 0] > 0).astype(int)]


def test_probes_of_ones_own_are_used(tiny_model, parts):
    found = erase_and_measure(
        tiny_model("bert"), *parts, PARITY, [3], probes={"first": _FirstColumn()}
    )
    assert set(found.table["metric"]) == {"first_accuracy", "embedding_cosine"}


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_the_last_state_is_computed_from_the_erased_one(family, tiny_model, parts):
    model, corpus = tiny_model(family), parts[0].first(7)
    encodings, _ = encode_all(corpus.sentences, model.tokenizer, None)
    states = states_of_model(model, corpus).read(1)
    erasers = [RandomRank(rank, seed=rank).fit(states) for rank in (0, 4, 9)]
    kinds = [
        Fitted("leace", "leace", tuple(erasers[:1]), 0),
        Fitted("x", "x", tuple(erasers[1:]), 0),
    ]
    found = erased_words(model, encodings, 1, kinds)
    for eraser, words in zip(erasers, found, strict=True):
        with erased(model.module, {1: eraser}):
            np.testing.assert_allclose(words, states_of_model(model, corpus).read(3), atol=1e-4)
    assert np.abs(found[1:] - found[0]).max(axis=(1, 2)).min() > 0.1


def made_up_score(effect, units=40, draws=3):
    """A score of a made-up family: the eraser lowers it by the effect, its controls do not."""
    rng = np.random.default_rng(0)
    base = rng.standard_normal(units)
    control = [base + 0.1 * rng.standard_normal((draws, units)) for _ in range(3)]
    concept = base[None] - effect + 0.1 * rng.standard_normal((1, units))
    return Score(
        "made_up", False, (base[None], concept, *control), np.full(units, 2.0), np.arange(units)
    )


ONE = RandomRank(1).fit(np.zeros((2, 2)))
FAMILY = [
    Fitted(name, "leace", (ONE,), 0.1)
    for name in ("leace", "random_rank", "random_variance", "shuffled_labels")
]


def test_a_table_by_hand():
    effects = {1: 0.5, 2: 0.0}
    scores = {layer: made_up_score(effect) for layer, effect in effects.items()}
    made = [row for layer, score in scores.items()
            for row in rows_of("task", layer, FAMILY, score, seed=0)]  # fmt: skip
    table = table_of(made)
    concept = rows(table, eraser="leace").set_index("layer")
    p = []
    for layer, score in scores.items():
        value = score.sums[1].sum() / 80
        control = score.sums[2].mean(0).sum() / 80
        assert concept.loc[layer, "value"] == pytest.approx(value)
        assert concept.loc[layer, "control"] == pytest.approx(control)
        assert concept.loc[layer, "difference"] == pytest.approx(value - control)
        gap = score.sums[1][0] - score.sums[2].mean(0)
        p.append(sign_flip(gap, seed=0, two_sided=True))
        spread = rows(table, eraser="random_rank", layer=layer)["sd_over_draws"].item()
        assert spread == pytest.approx((score.sums[2].sum(1) / 80).std(ddof=1))
    np.testing.assert_allclose(concept["p_adjusted"], holm(np.array(p)))
    assert concept["p_adjusted"].iloc[0] < 0.001
    assert concept["p_adjusted"].iloc[1] > 0.05
    assert table["n"].tolist() == [80] * 10


def test_little_data_is_descriptive():
    score = made_up_score(0.5, units=9)
    table = table_of(rows_of("task", 1, FAMILY, score, seed=0))
    assert table["descriptive"].all()
    nothing = ["p_adjusted", "difference_ci_low", "change_ci_high", "ci_low"]
    assert table[nothing].isna().all(axis=None)
    right = tuple(np.ones((len(kind), 9)) for kind in score.sums)
    shares = Score("accuracy", True, right, np.ones(9), np.arange(9))
    found = table_of(rows_of("task", 1, FAMILY, shares, seed=0))
    assert found["ci_low"].tolist() == [pytest.approx(float(wilson(9, 9)[0]))] * 5


def test_bad_options_are_refused(tiny_model, parts):
    model = tiny_model("bert")

    def refused(error, message, *, task=PARITY, layers=(1,), given=parts, **options):
        with pytest.raises(error, match=message):
            erase_and_measure(model, *given, task, layers, probes=PROBES, **options)

    refused(BertologyError, r"layers is \[4\].*0 \(the embeddings\) to 3", layers=[4])
    refused(BertologyError, r"layers is \[\]", layers=[])
    refused(BertologyError, "draws is 2; at least 3", draws=2)
    refused(BertologyError, "other_task is the task itself", other_task=PARITY)
    pairs = Task("arc", "pair", lambda s: [Item(((0, 1), (1, 2)), "x")], "arcs")
    refused(BertologyError, "'arc' is about pairs", task=pairs)
    refused(BertologyError, "is about other text", task=task_named("bigram_shift"))
    refused(CorpusError, "share|also in", given=(parts[0], parts[0]))
    alike = word_task("alike", lambda s: ["A"] * len(s), "nothing")
    refused(CorpusError, "1 class for the task 'alike'", task=alike)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*have a label that training has not")
def test_the_demo_model_loses_parts_of_speech_to_leace_alone(demo, sample):
    parts = split_sentences(sample)
    probes = {"linear": LinearProbe(Cs=(0.1,))}
    found = erase_and_measure(demo, *parts, task_named("upos"), [6], probes=probes)
    table = rows(found.table, metric="linear_accuracy")
    concept = rows(table, eraser="leace")
    assert concept["intact"].item() > 0.75
    assert concept["value"].item() == pytest.approx(concept["majority"].item(), abs=1e-3)
    assert concept["difference_ci_high"].item() < -0.3
    cosine = rows(found.table, metric="embedding_cosine", eraser="leace")
    assert cosine["difference_ci_high"].item() < 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*have a label that training has not")
def test_a_small_language_model_loses_more_than_random_words(shared_file):
    model = bertology.load_model(shared_file("models/stories260K"), task="causal-lm")
    corpus = bertology.corpora.read_conllu(shared_file("ud/en_ewt-ud-dev.conllu")).first(100)
    found = erase_and_measure(
        model, *split_sentences(corpus), task_named("upos"), [2], probes=PROBES
    )
    kl = rows(found.table, metric="kl_bits", eraser="leace")
    assert kl["value"].item() > 0.05
    assert kl["difference_ci_low"].item() > 0
