"""Effects are found where there are some, and rarely elsewhere; labels mean classes."""

import numpy as np
import pytest

from bertology import BertologyError
from bertology.ablation import ablate, importance
from bertology.ablation.effects import differences
from bertology.ablation.labels import classes_of
from bertology.ablation.metrics import mean
from bertology.corpora import Example, examples_of, read_sst
from bertology.corpora.text import text_to_sentence


def table_of(delta, seed, units=None):
    """Effects with these differences of a mean, (example, layer, head)."""
    ones = np.ones(len(delta))
    base = np.stack([3.0 * ones, ones], axis=-1)
    parts = 3.0 + delta.reshape(len(delta), -1).T
    ablated = np.stack([parts, np.ones_like(parts)], axis=-1)[:, None]
    units = np.arange(len(delta)) if units is None else units
    return differences(mean("target"), base, ablated, units, seed)


def test_null_heads_are_flagged_rarely_and_a_real_one_nearly_always():
    generator = np.random.default_rng(0)
    false, true = 0, 0
    for seed in range(60):
        delta = generator.laplace(size=(40, 3, 4)) * generator.uniform(0.1, 3, (3, 4))
        delta += 0.5 * delta[:, :1]  # heads that move together
        delta[:, 2, 3] += 3.0
        flagged = table_of(delta, seed).p_adjusted.to_numpy() <= 0.05
        true += flagged[-1]
        false += flagged[:-1].any()
    assert false <= 8, "5 % of 60, with room for chance (binomial, 99.7 %)"
    assert true >= 54


def test_whole_documents_are_flipped_and_resampled():
    generator = np.random.default_rng(0)
    shared = np.repeat(generator.normal(size=(12, 2, 2)), 10, axis=0)
    units = np.repeat(np.arange(12), 10)
    by_document, by_sentence = table_of(shared, 0, units), table_of(shared, 0)
    wide, narrow = ((t.ci_high - t.ci_low).mean() for t in (by_document, by_sentence))
    assert wide > 2 * narrow
    assert (by_document.n == 120).all() and not by_document.descriptive.any()
    assert (by_document.p_adjusted >= by_sentence.p_adjusted).all()


def test_little_data_is_descriptive():
    delta = np.random.default_rng(0).normal(size=(60, 2, 2)) + 5
    assert table_of(delta[:29], 0).p_adjusted.isna().all()
    assert table_of(delta, 0, np.arange(60) % 9).descriptive.all()
    assert (table_of(delta[:30], 0).p_adjusted < 0.01).all()


def labelled(*labels):
    return [Example(text_to_sentence("w1 w2", id=str(i)), label=x) for i, x in enumerate(labels)]


def test_labels_are_names_or_indices(tiny_model):
    model = tiny_model("bert", "classification")
    assert classes_of(model, labelled("label_1", None, "LABEL_0")).tolist() == [1, -1, 0]
    assert classes_of(model, labelled("0", "1", None)).tolist() == [0, 1, -1]
    assert classes_of(model, labelled(None, None)).tolist() == [-1, -1]
    with pytest.raises(BertologyError, match=r"\['positive'\].*\['LABEL_0', 'LABEL_1'\]"):
        classes_of(model, labelled("label_0", "positive"))
    with pytest.raises(BertologyError, match=r"\['1'\]"):
        classes_of(model, labelled("LABEL_0", "1"))
    model.config.id2label = {0: "1", 1: "0"}
    assert classes_of(model, labelled("0", "1")).tolist() == [1, 0], "names come first"
    assert classes_of(tiny_model("bert"), labelled("anything")).tolist() == [-1]


def test_labels_are_refused_before_any_work(tiny_model, monkeypatch):
    from bertology.ablation import setting
    from bertology.corpora import Examples

    monkeypatch.setattr(setting, "prepare", lambda *a, **k: pytest.fail("work was done"))
    with pytest.raises(BertologyError, match="LABEL_0"):
        ablate(tiny_model("bert", "classification"), Examples("x", tuple(labelled("good")), ""))


def test_demo_heads_change_the_embedding(demo, sample):
    few = sample.first(4)
    result = ablate(demo, examples_of(few), modes=["zero"])
    assert result.target.shape == (1, 6, 12, 4) and set(result.table.metric) == {"target"}
    gradient = importance(demo, examples_of(few)).per_example.mean(0).ravel()
    effect = np.abs(result.target[0] - result.base_target).mean(-1).ravel()
    assert np.corrcoef(gradient.argsort().argsort(), effect.argsort().argsort())[0, 1] > 0.8


def test_a_sentiment_classifier_depends_on_few_heads(shared_file):
    from bertology import load_model

    model = load_model(shared_file("models/minilm-sst2"))
    examples = read_sst(shared_file("sentiment/sst/dev.txt")).first(40)
    result = ablate(model, examples, modes=["zero"])
    table = result.table.set_index(["metric", "layer", "head"])
    accuracy = table.loc["accuracy"]
    assert accuracy.base.iloc[0] > 0.85 and (accuracy.n == 40).all()
    assert accuracy.delta.median() == 0
    strongest = table.loc[("target", 3, 9)]
    assert strongest.ci_high < 0 and strongest.p_adjusted < 0.01
