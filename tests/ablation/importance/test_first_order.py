"""The first-order prediction is right where the model is linear, and is held against effects."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau, pearsonr, spearmanr

from bertology import BertologyError
from bertology.ablation.importance import FirstOrder, first_order, signed_gradients
from bertology.ablation.importance.prediction import agreement_table
from bertology.attribution.targets import prepare

TEXTS = ("w0 w1 w0 w0", "w2 w2 w2 w2 w3", "w0 w0 w0", "w1 w0 w0")


def written(outputs, batch):
    return (outputs[0][..., 31] * batch.mask).sum(1)


def saturating(outputs, batch):
    """No head is missed while the others are there."""
    return written(outputs, batch) ** 3


def test_a_linear_model_is_predicted_exactly(additive, texts):
    result = first_order(additive, texts(*TEXTS), target=written)
    expected = np.zeros((4, 3, 4))
    # Minus what each head adds: 1, b and c, summed over the words.
    expected[:, 2, :3] = -np.array([(4, 8, 6), (5, -10, 9), (3, 6, 9), (3, 6, 3)])
    np.testing.assert_allclose(result.predicted, expected, atol=1e-5)
    np.testing.assert_allclose(result.measured, expected, atol=1e-5)
    np.testing.assert_allclose(result.table.value, 1, atol=1e-6)
    np.testing.assert_allclose(result.table[["ci_low", "ci_high"]], 1, atol=1e-6)
    assert (result.table.heads == 12).all() and (result.table.n == 4).all()
    assert result.table.descriptive.all()
    rows = result.heads.set_index(["layer", "head"])
    assert rows.loc[(2, 2), "predicted"] == pytest.approx(-27 / 4)
    assert rows.loc[(2, 2), "measured"] == pytest.approx(-27 / 4)
    assert rows.loc[(2, 2), "predicted_low"] < -27 / 4 < rows.loc[(2, 2), "predicted_high"]


def test_a_curved_target_is_not(additive, texts):
    """f = x³ and head of x: predicted −3 x² h, measured (x − h)³ − x³."""
    result = first_order(additive, texts("w0 w0", "w0 w1 w0"), target=saturating)
    adds = np.array([(2, 4, 6), (3, 6, 3)], dtype=float)
    x = adds.sum(1, keepdims=True)
    np.testing.assert_allclose(result.predicted[:, 2, :3], -3 * x**2 * adds, 1e-5)
    np.testing.assert_allclose(result.measured[:, 2, :3], (x - adds) ** 3 - x**3, 1e-5)
    pearson = result.table.set_index(["compared", "statistic"]).value["signed", "pearson"]
    assert pearson < 0.999


@pytest.mark.parametrize(
    ("family", "task", "against", "labels"),
    [
        ("bert", "classification", "target", (None,)),
        ("bert", "classification", "loss", ("LABEL_0", "LABEL_1", None)),
        ("gpt2", "causal-lm", "loss", (None,)),
        ("bert", "masked-lm", "target", (None,)),
    ],
)
def test_both_sides_are_of_one_score(tiny_model, random_examples, family, task, against, labels):
    """With heads so faint that every score is nearly linear in the gates, the sides are equal."""
    model, examples = tiny_model(family, task), random_examples(12, labels)
    for name, weight in model.module.named_parameters():
        if "attention.output.dense.weight" in name or "attn.c_proj.weight" in name:
            weight.data *= 1e-3
    result = first_order(model, examples, against=against)
    kept = [number for number in range(12) if labels[number % len(labels)] or against == "target"
            or task == "causal-lm"]  # fmt: skip
    assert list(result.ids) == [f"s{number}" for number in kept]
    size = np.abs(result.measured).max()
    assert size > 1e-4
    np.testing.assert_allclose(result.predicted, result.measured, atol=0.05 * size)
    agree = result.table.set_index(["compared", "statistic"]).value
    assert agree["signed", "pearson"] > 0.99


def test_correlations_are_those_of_scipy_over_heads():
    generator = np.random.default_rng(0)
    predicted = generator.normal(size=(40, 3, 4))
    measured = predicted + generator.normal(size=(40, 3, 4))
    units = np.arange(40) // 2
    table = agreement_table(predicted, measured, units, 0).set_index(["compared", "statistic"])
    for compared, change in (("signed", lambda x: x), ("absolute", np.abs)):
        sides = [change(each).mean(0).ravel() for each in (predicted, measured)]
        for name, function in (
            ("pearson", pearsonr), ("spearman", spearmanr), ("kendall", kendalltau)
        ):  # fmt: skip
            row = table.loc[(compared, name)]
            assert row.value == pytest.approx(function(*sides)[0])
            assert row.ci_low < row.ci_high <= 1
            assert not row.descriptive


def test_the_interval_covers_the_agreement_of_the_population():
    """200 samples of units from fixed heads; the truth is the correlation of the heads' means."""
    generator = np.random.default_rng(1)
    truth = generator.normal(size=(2, 2, 6)) * 2
    truth[1] += 1.5 * truth[0]
    target = pearsonr(truth[0].ravel(), truth[1].ravel())[0]
    covered = 0
    for seed in range(60):
        noise = generator.normal(size=(2, 40, 2, 6))
        table = agreement_table(truth[0] + noise[0], truth[1] + noise[1], np.arange(40), seed)
        covered += table.ci_low[0] <= target <= table.ci_high[0]
    assert covered >= 51, "95 % of 60, with room for chance (binomial, 99.8 %)"


def test_units_are_resampled_whole():
    generator = np.random.default_rng(0)
    heads = generator.normal(size=(1, 3, 4))
    shared = np.repeat(generator.normal(size=(12, 3, 4)), 10, axis=0)
    noise = generator.normal(size=(12, 3, 4)).repeat(10, axis=0)
    pair = heads + shared, heads + noise
    whole = agreement_table(*pair, np.arange(120) // 10, 0)
    apart = agreement_table(*pair, np.arange(120), 0)
    np.testing.assert_allclose(whole.value, apart.value)
    width = [(table.ci_high - table.ci_low).mean() for table in (whole, apart)]
    assert width[0] > 1.5 * width[1]
    one = agreement_table(*pair, np.zeros(120), 0)
    assert one.ci_low.isna().all() and one.descriptive.all()


def test_it_reloads_and_follows_the_seed(tiny_model, random_examples, tmp_path):
    model, examples = tiny_model("bert", "classification"), random_examples(12)
    result = first_order(model, examples, seed=1)
    pd.testing.assert_frame_equal(result.table, first_order(model, examples, seed=1).table)
    loaded = FirstOrder.load(result.save(tmp_path / "f"))
    pd.testing.assert_frame_equal(loaded.heads, result.heads)
    np.testing.assert_array_equal(loaded.measured, result.measured)
    prepared = prepare(model, examples.examples)
    signed = signed_gradients(model, prepared.encodings, prepared.goals)
    np.testing.assert_array_equal(result.predicted, -signed)


def test_a_masked_loss_is_refused(tiny_model, random_examples):
    with pytest.raises(BertologyError, match="other masks"):
        first_order(tiny_model("bert", "masked-lm"), random_examples(3), against="loss")
