"""Pruning curves of hand-made models, where it is known which head matters."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from bertology import BertologyError
from bertology.ablation.curves import PruningCurve, pruning_curve
from bertology.ablation.effects import interval
from bertology.ablation.importance import Criterion, importance, question
from bertology.ablation.parts import every_head
from bertology.ablation.scoring import score
from bertology.ablation.setting import settle
from bertology.attribution.targets import measure, prepare
from bertology.capture import collate, gate_heads, hooked
from bertology.corpora import Examples

#: Reads the text for [CLS]; no other head of the model is read.
READER = (1, 2)
WRITTEN, OTHER = 31, 29


def margins(model, examples):
    """Logit of class 1 minus that of class 0, of each example."""
    batch = collate(prepare(model, examples.examples).encodings, model)
    with torch.no_grad():
        logits = model.module(**batch.inputs).logits.numpy()
    return logits[:, 1] - logits[:, 0]


@pytest.fixture
def one_head(tiny_model, random_examples, output_slice):
    """A classifier in which one head matters, and examples that it labels itself.

    [CLS] sees the text through that head alone: without it the prediction is one and the same.
    """
    model = tiny_model("bert", "classification")
    with hooked(model.module):
        pass  # proven while every head writes something
    for layer in range(3):
        for head in range(4):
            if (layer, head) != READER:
                output_slice(model.module, "bert", layer, head).zero_()
    examples = random_examples(60)
    model.module.classifier.bias.data[0] += float(np.median(margins(model, examples)))
    labels = margins(model, examples) > 0
    assert labels.sum() == 30, "as many of each class"
    own = [replace(e, label=str(int(n))) for e, n in zip(examples.examples, labels, strict=True)]
    return model, Examples("labelled", tuple(own), examples.sha256)


def curve_of(result, order, metric="accuracy"):
    table = result.table[(result.table.order == order) & (result.table.metric == metric)]
    return table.reset_index(drop=True)


def test_where_one_head_matters_the_curve_is_flat_until_it_goes(one_head):
    model, examples = one_head
    result = pruning_curve(model, examples, step=0.01)
    flat, reverse = curve_of(result, "example"), curve_of(result, "reversed")
    assert flat.removed.tolist() == reverse.removed.tolist() == list(range(13))
    np.testing.assert_allclose(flat.share_removed, np.arange(13) / 12)
    assert (flat.value[:12] == 1).all() and (flat.delta[:12] == 0).all()
    assert (flat[["ci_low", "ci_high"]][:12] == 1).all(axis=None)
    without = flat.value[12]
    assert without < 0.8 and flat.delta[12] == pytest.approx(without - 1)
    assert flat.delta_high[12] < 0 and flat.ci_high[12] < 1
    assert reverse.value[0] == 1 and (reverse.value[1:] == without).all(), "it falls at once"
    assert (flat.n == 30).all() and not flat.descriptive.any()
    last = result.removals[(result.removals.order == "example") & (result.removals["rank"] == 11)]
    assert last[["layer", "head"]].to_numpy().tolist() == [list(READER)]


def test_random_orders_are_in_between(one_head):
    model, examples = one_head
    result = pruning_curve(model, examples, step=0.25, draws=40, seed=1)
    without = curve_of(result, "example").value.iloc[-1]
    rows = result.removals[result.removals.order == "random"]
    reader = rows[(rows.layer == READER[0]) & (rows["head"] == READER[1])]
    assert sorted(reader.draw) == list(range(40))
    curve = curve_of(result, "random")
    assert curve.removed.tolist() == [0, 3, 6, 9, 12]
    for removed, point in curve.groupby("removed"):
        values = np.where(reader["rank"] < removed, without, 1.0)
        assert point.value.item() == pytest.approx(values.mean())
        low, high = np.quantile(values, [0.025, 0.975])
        assert (point.ci_low.item(), point.ci_high.item()) == pytest.approx((low, high))
        # The reader is among k of 12 with probability k/12; 40 draws, 99.9 %.
        share = (reader["rank"] < removed).mean()
        assert abs(share - removed / 12) <= 3.3 * 0.5 / np.sqrt(40)
    assert (curve.n == 30).all()


def test_points_equal_the_model_with_gates_shut(tiny_model, random_examples):
    """The whole way against the model itself, on the examples of the other half."""
    model, examples = tiny_model("bert", "classification"), random_examples(24)
    for mode in ("zero", "mean"):
        result = pruning_curve(model, examples, order="output_norm", metrics=["target"],
                               mode=mode, step=0.25, draws=10)  # fmt: skip
        curve = curve_of(result, "output_norm", "target")
        gone = result.removals[result.removals.order == "output_norm"]
        ranked = set(result.provenance.options["ranked_on"])
        scored = [e for e in examples.examples if e.id not in ranked]
        assert len(scored) == len(ranked) == 12 == curve.n.iloc[0]
        if mode == "mean":
            continue
        prepared = prepare(model, scored)
        batch = collate(prepared.encodings, model)
        for removed, value in zip(curve.removed, curve.value, strict=True):
            gates = torch.ones(3, 4)
            for _, row in gone[gone["rank"] < removed].iterrows():
                gates[row["layer"], row["head"]] = 0
            with torch.no_grad(), hooked(model.module, gate_heads(gates)):
                expected = measure(model, batch, prepared.goals).mean().item()
            assert value == pytest.approx(expected, abs=1e-4)
        norms = importance(model, examples, method="output_norm").table.importance
        order = np.argsort(norms.to_numpy(), kind="stable")
        assert (4 * gone.layer + gone["head"]).tolist() == order.tolist()


def test_a_constant_head_matters_only_where_zeros_stand_in(tiny_model, random_examples):
    model, examples = tiny_model("bert", "classification"), random_examples(24)
    for layer in model.module.bert.encoder.layer:
        layer.attention.self.value.weight.data.zero_()
        layer.attention.self.value.bias.data = torch.linspace(1, 2, 32)
    curves = {}
    for mode in ("zero", "mean"):
        result = pruning_curve(model, examples, metrics=["target"], mode=mode, step=0.5, draws=10)
        curves[mode] = curve_of(result, "example", "target").delta.abs()
    assert curves["zero"][1:].min() > 0.01 and curves["mean"].max() < 1e-4


def clamped(outputs, batch):
    """What the heads write per token, at most 1.5; and a third of what goes elsewhere."""
    each = (outputs[0] * batch.mask[..., None]).sum(1) / batch.mask.sum(1, keepdim=True)
    return each[:, WRITTEN].clamp(max=1.5) + each[:, OTHER]


@pytest.fixture
def backups(additive):
    """Heads 0 and 1 of the last layer add 1 each, of which 1.5 counts; head 2 adds 0.3."""
    attention = additive.module.h[2].attn
    attention.c_attn.weight.data[9:11, 64:88] = 0
    attention.c_attn.weight.data[8, 72] = 1
    attention.c_attn.weight.data[8, 80] = 0.3
    attention.c_proj.weight.data[16, WRITTEN] = 0
    attention.c_proj.weight.data[16, OTHER] = 1
    return additive


def test_only_anew_is_the_last_backup_seen_to_matter(backups, texts):
    """At the start neither of two heads has a slope, as the other is there."""
    examples = texts(*(f"w{n} w{n + 1} w{n}" for n in range(3)), "w0 w0 w0")
    options = {"target": clamped, "metrics": ["target"], "step": 0.01, "draws": 10}
    once = curve_of(pruning_curve(backups, examples, **options), "example", "target")
    anew = pruning_curve(backups, examples, rescore=True, **options)
    expected = [1.8] * 9 + [1.3, 0.3, 0.3, 0.0]
    np.testing.assert_allclose(once.value, expected, atol=1e-5)
    expected = [1.8] * 9 + [1.3, 1.3, 1.0, 0.0]
    np.testing.assert_allclose(curve_of(anew, "example", "target").value, expected, atol=1e-5)
    # Reversed: the head that adds 0.3 first, and then those that have a slope once one is gone.
    reverse = curve_of(anew, "reversed", "target").value
    assert reverse[1] == pytest.approx(1.5) and reverse.iloc[-1] == pytest.approx(0, abs=1e-5)


def test_every_layer_keeps_a_head(one_head):
    model, examples = one_head
    result = pruning_curve(model, examples, at_least_one=True, step=0.01)
    for (order, draw), rows in result.removals.groupby(["order", "draw"]):
        assert len(rows) == 9 and (rows.groupby("layer").size() == 3).all(), (order, draw)
    kept = curve_of(result, "example")
    assert kept.removed.iloc[-1] == 9 and (kept.value == 1).all()
    assert curve_of(result, "reversed").value[1] < 0.8


def test_a_curve_ends_where_the_metric_is_below_the_threshold(one_head):
    model, examples = one_head
    whole = pruning_curve(model, examples, step=0.25)
    cut = pruning_curve(model, examples, step=0.25, threshold=0.9)
    assert curve_of(cut, "reversed").removed.tolist() == [0, 3]
    assert curve_of(cut, "example").removed.tolist() == [0, 3, 6, 9, 12]
    for order in ("example", "reversed", "random"):
        for metric in ("target", "accuracy"):
            short, long = curve_of(cut, order, metric), curve_of(whole, order, metric)
            pd.testing.assert_frame_equal(short, long[: len(short)])
    # The first metric decides; a loss may grow to its value divided by the threshold.
    loss = pruning_curve(model, examples, step=0.25, threshold=0.9, metrics=["loss", "accuracy"])
    curve = curve_of(loss, "reversed", "loss")
    assert len(curve) == 2 and curve.value[1] > curve.value[0] / 0.9
    assert len(curve_of(loss, "reversed")) == 2


def test_several_orders_are_compared_and_the_first_is_reversed(one_head):
    model, examples = one_head
    orders = [Criterion("example", "loss"), "output_norm", "confidence"]
    result = pruning_curve(model, examples, order=orders, step=0.25, normalised=True)
    names = ["example of the loss", "output_norm", "confidence", "reversed", "random"]
    assert list(dict.fromkeys(result.table.order)) == names
    assert result.provenance.options["order"] == names[:3]
    first = curve_of(result, "example of the loss")
    assert (first.value[:4] == 1).all() and first.value[4] < 0.8
    assert curve_of(result, "reversed").value[1] < 0.8


def test_documents_are_not_split_and_are_resampled_whole(tiny_model, random_examples):
    model, examples = tiny_model("bert", "classification"), random_examples(90, document_size=3)
    result = pruning_curve(model, examples, step=0.5, draws=10, metrics=["target"])
    ranked = {int(name[1:]) for name in result.provenance.options["ranked_on"]}
    assert len(ranked) == 45
    assert all(sum(3 * d + k in ranked for k in range(3)) in (0, 3) for d in range(30))
    # 15 documents: less than make a corpus one of documents, but these are what was split.
    own = tuple(e for n, e in enumerate(examples.examples) if n not in ranked)
    setting = settle(model, Examples("half", own, ""), metrics=["target"])
    scores = score(model, setting, every_head(model.module)[:1])
    (metric,) = setting.metrics
    units = np.array([int(e.id[1:]) // 3 for e in own])
    expected = interval(metric, scores.base["target"], units, 0)
    row = curve_of(result, "example", "target").iloc[0]
    np.testing.assert_allclose(row[["value", "ci_low", "ci_high"]].astype(float), expected)


def test_the_seed_decides_and_it_reloads(tiny_model, random_examples, tmp_path):
    model, examples = tiny_model("bert", "classification"), random_examples(24)
    first, again, other = (
        pruning_curve(model, examples, step=0.5, draws=10, seed=seed) for seed in (1, 1, 2)
    )
    columns = ["order", "removed", "share_removed", "metric", "value", "ci_low", "ci_high", "n",
               "descriptive"]  # fmt: skip
    assert list(first.table.columns)[: len(columns)] == columns
    pd.testing.assert_frame_equal(first.table, again.table)
    assert not first.table.equals(other.table)
    loaded = PruningCurve.load(first.save(tmp_path / "c"))
    pd.testing.assert_frame_equal(loaded.table, first.table)
    pd.testing.assert_frame_equal(loaded.removals, first.removals)


def test_it_goes_on_from_its_folder(tiny_model, random_examples, tmp_path):
    model, examples = tiny_model("bert", "classification"), random_examples(24)
    options = {"step": 0.5, "draws": 10, "folder": tmp_path / "kept"}
    first = pruning_curve(model, examples, **options)
    again = pruning_curve(model, examples, **options)
    pd.testing.assert_frame_equal(first.table, again.table)
    with pytest.raises(BertologyError):
        pruning_curve(model, examples, step=0.25, draws=10, folder=tmp_path / "kept")


def test_bad_input_is_refused_before_any_work(tiny_model, random_examples, monkeypatch):
    monkeypatch.setattr(question, "settle", lambda *a, **k: pytest.fail("work was done"))
    model, examples = tiny_model("bert", "classification"), random_examples(12)
    for options, words in (
        ({"order": "taylor"}, "'taylor' does not exist; choose one of position, example"),
        ({"order": []}, "at least one importance"),
        ({"order": ["example", "example"]}, "none twice"),
        ({"order": "batch"}, "batch_size"),
        ({"mode": "uniform"}, "zero or mean"),
        ({"step": 0}, "step is 0"),
        ({"step": 1.5}, "step is 1.5"),
        ({"threshold": 0.0}, "between 0 and 1"),
        ({"threshold": 1.2}, "between 0 and 1"),
        ({"draws": 3}, "at least 10"),
        ({"metrics": ["accuracy"]}, "accuracy"),
        ({"metrics": ["bleu"]}, "bleu"),
        ({"order": Criterion("example", "loss")}, "needs labels"),
    ):
        with pytest.raises(BertologyError, match=words):
            pruning_curve(model, examples, **options)
    with pytest.raises(BertologyError, match="at least two"):
        pruning_curve(model, random_examples(1))


def test_the_model_is_left_as_it_was(tiny_model, random_examples):
    model, examples = tiny_model("bert", "classification"), random_examples(24)
    before = {name: weight.clone() for name, weight in model.module.state_dict().items()}
    pruning_curve(model, examples, rescore=True, mode="mean", step=0.5, draws=10)
    for name, weight in model.module.state_dict().items():
        assert torch.equal(weight, before[name])
    for part in model.module.modules():
        assert not part._forward_hooks and not part._forward_pre_hooks
        assert "forward" not in part.__dict__
    assert all(p.grad is None for p in model.module.parameters())
