"""Metrics equal scikit-learn's and scipy's; what does not fit is refused by name."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as oracle

from bertology import BertologyError
from bertology.ablation import metrics
from bertology.ablation.effects import differences, interval
from bertology.ablation.instruments import METRICS, instruments_for
from bertology.ablation.metrics import moments
from bertology.corpora import MinimalPairs


def one_hot(index, classes):
    return np.eye(classes)[index]


def rows_of(predicted, true, classes):
    a = one_hot(predicted, classes)
    b = np.broadcast_to(one_hot(true, classes), a.shape)
    return np.concatenate([a * b, a, b], axis=-1)


@pytest.mark.parametrize("classes", [2, 4])
def test_class_metrics_are_those_of_scikit_learn(classes):
    draw = np.random.default_rng(0)
    true = draw.integers(classes, size=60)
    predicted = np.where(draw.random((5, 60)) < 0.6, true, draw.integers(classes, size=(5, 60)))
    rows = rows_of(predicted, true, classes)
    for own, theirs in zip(rows, predicted, strict=True):
        macro = oracle.f1_score(true, theirs, average="macro")
        assert metrics.macro_f1(classes).of(own) == pytest.approx(macro)
        mcc = oracle.matthews_corrcoef(true, theirs)
        assert metrics.mcc(classes).of(own) == pytest.approx(mcc)
        if classes == 2:
            assert metrics.f1(2).of(own) == pytest.approx(oracle.f1_score(true, theirs))
    np.testing.assert_allclose(
        metrics.mcc(classes).of(rows), [metrics.mcc(classes).of(own) for own in rows]
    )


@pytest.mark.parametrize("name", sorted(METRICS))
def test_a_metric_is_found_again_by_its_name(name, tiny_model, random_examples):
    task = "causal-lm" if name in ("perplexity", "minimal_pairs") else "classification"
    model = tiny_model("gpt2" if task == "causal-lm" else "bert", task)
    examples = random_examples(4, labels=("0", "1"))
    if name in ("pearson", "spearman"):
        model.module.config.num_labels = 1
    if name == "minimal_pairs":
        examples = MinimalPairs("pairs", (), "0" * 64)
    (own,) = instruments_for(model, examples, [name])
    found = metrics.named(name, len(own.metric.columns))
    for field in ("name", "columns", "of_sums", "higher_is_better"):
        assert getattr(found, field) == getattr(own.metric, field)
    assert metrics.named("of_my_own", 2) is None


def test_predicting_one_class_gives_no_correlation_and_half_of_f1():
    rows = rows_of(np.ones(10, dtype=int), np.arange(10) % 2, 2)
    assert metrics.mcc(2).of(rows) == 0
    assert metrics.f1(2).of(rows) == pytest.approx(2 / 3)
    assert metrics.macro_f1(2).of(rows) == pytest.approx(1 / 3)


def test_correlations_are_those_of_scipy():
    draw = np.random.default_rng(0)
    true = draw.normal(size=40).round(1)  # with ties
    predicted = 100 + true + draw.normal(size=40).round(1)
    pairs = np.stack([predicted, true], axis=-1)
    assert metrics.pearson().of(moments(predicted, true)) == pytest.approx(
        stats.pearsonr(predicted, true)[0]
    )
    assert metrics.spearman().of(pairs) == pytest.approx(stats.spearmanr(predicted, true)[0])
    flat = np.full(40, 3.7)
    assert np.isnan(metrics.pearson().of(moments(flat, true)))
    assert np.isnan(metrics.spearman().of(np.stack([flat, true], axis=-1)))


def test_perplexity_weighs_tokens_and_unlabelled_examples_are_left_out():
    rows = np.array([[2.0, 1.0], [9.0, 3.0], [np.nan, np.nan]])
    assert metrics.perplexity().of(rows) == pytest.approx(np.exp(11 / 4))
    assert metrics.mean("loss").of(rows) == pytest.approx(11 / 4)


def test_a_users_function_sees_predictions_and_labels():
    rows = np.stack([np.array([0, 1, 1]), np.array([1, 1, 1])], axis=-1)
    metric = metrics.scored_by(oracle.accuracy_score)
    assert metric.name == "accuracy_score" and metric.of(rows) == pytest.approx(2 / 3)


@pytest.mark.parametrize("name", ["mean", "pearson", "spearman", "function"])
def test_effects_are_found_in_every_kind_of_metric(name):
    """A part that destroys the predictions is flagged; those that err as much are not."""
    draw = np.random.default_rng(3)
    true = draw.normal(size=60)
    intact = true + 0.3 * draw.normal(size=60)
    parts = true + 0.3 * draw.normal(size=(5, 60))
    parts[2] = draw.normal(size=60)
    if name == "mean":
        metric = metrics.mean("score")
        base, rows = (
            np.stack([-np.abs(x - true), np.ones_like(x)], axis=-1) for x in (intact, parts)
        )
    elif name == "pearson":
        metric = metrics.pearson()
        base, rows = (moments(x, np.broadcast_to(true, x.shape)) for x in (intact, parts))
    else:
        metric = metrics.spearman()
        if name == "function":
            metric = metrics.scored_by(lambda a, b: float(np.corrcoef(a, b)[0, 1]))
        base, rows = (
            np.stack([x, np.broadcast_to(true, x.shape)], axis=-1) for x in (intact, parts)
        )
    table = differences(metric, base, rows[:, None], np.arange(60), 0)
    assert table.p_adjusted[2] < 0.01 and table.ci_high[2] < 0
    assert (table.p_adjusted.drop(2) > 0.05).all()
    np.testing.assert_allclose(table.delta, metric.of(rows) - metric.of(base), atol=1e-12)
    value, low, high = interval(metric, rows, np.arange(60), 0)
    assert ((low <= value) & (value <= high)).all()


def test_draws_are_averaged():
    draw = np.random.default_rng(0)
    base = np.stack([draw.normal(size=40), np.ones(40)], axis=-1)
    ablated = np.ones((1, 3, 40, 2))
    ablated[0, :, :, 0] = np.array([1.0, 2.0, 6.0])[:, None]
    table = differences(metrics.mean("score"), base, ablated, np.arange(40), 0)
    assert table.ablated[0] == pytest.approx(3.0)


def test_metrics_that_do_not_fit_are_refused(tiny_model, random_examples):
    from bertology.ablation import ablate

    classifier, labelled = tiny_model("bert", "classification"), random_examples(4, ("0", "1"))
    cases = [
        (classifier, labelled, "pearson", "accuracy"),
        (classifier, labelled, "perplexity", "f1"),
        (classifier, random_examples(4), "accuracy", "no labels"),
        (classifier, labelled, "f2", "There is no metric .f2."),
        (classifier, labelled, "acuracy", "did you mean .accuracy."),
        (tiny_model("gpt2", "causal-lm"), labelled, "accuracy", "perplexity"),
        (tiny_model("bert"), labelled, "loss", "choose from target"),
        (tiny_model("gpt2", "causal-lm"), labelled, "minimal_pairs", "loss"),
        (tiny_model("bert"), labelled, oracle.accuracy_score, "accuracy_score. does not fit"),
    ]
    for model, data, metric, wanted in cases:
        with pytest.raises(BertologyError, match=wanted):
            ablate(model, data, metrics=[metric])
