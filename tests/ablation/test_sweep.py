"""Ablating a head is what it says, example by example, and leaves no trace."""

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from bertology import BertologyError
from bertology.ablation import Ablation, ablate, mean_head_outputs, packed
from bertology.ablation.packed import StandIn
from bertology.ablation.parts import every_head
from bertology.ablation.switches import Written
from bertology.attribution.targets import measure, prepare
from bertology.capture import collate, gate_heads, hooked
from bertology.capture.shortcut import Restarts
from bertology.corpora import Example, Examples
from bertology.corpora.text import random_half, text_to_sentence

COLUMNS = ["layer", "head", "mode", "metric", "base", "ablated", "delta", "ci_low", "ci_high",
           "p_adjusted", "n"]  # fmt: skip
TASKS = [("bert", "classification"), ("gpt2", "causal-lm"), ("llama", "causal-lm")]
# Classifiers of the BERT kind read the first position, so they cannot be padded on the left.
SIDES = [("bert", "encoder"), ("albert", "encoder"), *TASKS[1:]]
WHOLE = Restarts([])


def grid(found):
    """(stand-in, layer, head, text) of what `sweep_scores` found."""
    return found.reshape(len(found), 3, 4, -1)


@pytest.fixture
def scored(sweep_scores):
    """Target of every example alone, intact and (mode, layer, head): no batching, no restart."""

    def find(model, examples, stand_ins=None):
        stand_ins = stand_ins or [StandIn("zero")]
        prepared = prepare(model, examples.examples)
        parts = every_head(model.module)
        found = [
            sweep_scores(model, collate([e], model), [g], parts, stand_ins, WHOLE)
            for e, g in zip(prepared.encodings, prepared.goals, strict=True)
        ]
        return np.concatenate([f[0] for f in found]), np.concatenate(
            [grid(f[1]) for f in found], -1
        )

    return find


@pytest.mark.parametrize(("family", "task"), TASKS)
def test_zero_ablation_equals_zeroing_the_slice_of_w_o(
    tiny_model, random_examples, output_slice, family, task
):
    model, examples = tiny_model(family, task), random_examples(5)
    result = ablate(model, examples, modes=["zero"])
    prepared = prepare(model, examples.examples)
    batch = collate(prepared.encodings, model)
    effects = []
    for layer in range(3):
        for head in range(4):
            changed = replace(model, module=copy.deepcopy(model.module))
            output_slice(changed.module, family, layer, head).zero_()
            with torch.no_grad():
                expected = measure(changed, batch, prepared.goals).numpy()
            np.testing.assert_allclose(result.target[0, layer, head], expected, 1e-5, 1e-5)
            effects.append(np.abs(expected - result.base_target).max())
    assert min(effects) > 1e-3, "positive control: every head does something"


def test_without_any_head_attention_writes_its_bias(tiny_model, random_examples):
    model = tiny_model("bert")
    batch = collate(prepare(model, random_examples(3).examples).encodings, model)
    kept = []
    for layer in model.module.encoder.layer:
        layer.attention.output.dense.register_forward_hook(
            lambda part, given, output: kept.append((output, part.bias))
        )
    with torch.no_grad(), hooked(model.module, gate_heads(torch.zeros(3, 4))):
        model.module(**batch.inputs)
    assert len(kept[-3:]) == 3
    for output, bias in kept[-3:]:
        torch.testing.assert_close(output, bias.expand_as(output), atol=1e-6, rtol=0)


def test_a_head_that_is_not_read_has_no_effect(tiny_model, random_examples, output_slice):
    model = tiny_model("bert", "classification")
    output_slice(model.module, "bert", 1, 2).zero_()
    table = ablate(model, random_examples(32)).table
    dead = table[(table.layer == 1) & (table["head"] == 2)]
    assert len(dead) == 2 and (dead[["delta", "ci_low", "ci_high"]] == 0).all(axis=None)
    assert (dead.p_adjusted == 1).all()
    assert (table.drop(dead.index).delta != 0).all()


def test_a_head_with_constant_output_matters_only_to_zero_ablation(tiny_model, random_examples):
    model = tiny_model("bert", "classification")
    value = model.module.bert.encoder.layer[2].attention.self.value
    value.weight.data[8:16] = 0
    value.bias.data[8:16] = torch.linspace(1, 2, 8)
    result = ablate(model, random_examples(32))
    zero, mean = np.abs(result.target - result.base_target)[:, 2, 1]
    assert zero.mean() > 0.1 and mean.max() < 1e-5
    table = result.table.set_index(["layer", "head", "mode"]).sort_index()
    assert table.loc[(2, 1, "mean"), "p_adjusted"] == 1, "rounding is not an effect"
    assert not np.allclose(result.target[0], result.target[1], atol=1e-2)


def test_mean_head_outputs_ignore_padding(tiny_model, random_examples):
    model, examples = tiny_model("bert"), random_examples(6)
    encodings = prepare(model, examples.examples).encodings
    together = mean_head_outputs(model, encodings)
    total, tokens = torch.zeros(3, 4, 8), 0
    for encoding in encodings:
        total += mean_head_outputs(model, [encoding]) * len(encoding)
        tokens += len(encoding)
    assert together.shape == (3, 4, 8) and together.dtype == torch.float32
    torch.testing.assert_close(together, total / tokens, atol=1e-5, rtol=1e-5)


def test_each_half_is_scored_with_the_mean_of_the_other(tiny_model, random_examples, scored):
    model, examples = tiny_model("bert", "classification"), random_examples(60, document_size=3)
    result = ablate(model, examples, modes=["mean"], seed=3)
    prepared = prepare(model, examples.examples)
    units = np.arange(60) // 3
    half = random_half(units, 3)
    first, second = np.flatnonzero(half), np.flatnonzero(~half)
    assert sorted([*first, *second]) == list(range(60)) and len(first) == 30
    assert not set(units[first]) & set(units[second])
    means = mean_head_outputs(model, [prepared.encodings[i] for i in second])
    half = Examples("half", tuple(examples.examples[i] for i in first), "")
    np.testing.assert_allclose(
        result.target[..., first],
        scored(model, half, [StandIn("mean", Written(heads=dict(enumerate(means))))])[1],
        1e-4, 1e-4,
    )  # fmt: skip


@pytest.mark.parametrize(("family", "task"), SIDES)
def test_a_batch_equals_singles_padded_on_either_side(
    tiny_model, random_examples, scored, sweep_scores, family, task
):
    model, examples = tiny_model(family, task), random_examples(7)
    result = ablate(model, examples, modes=["zero"])
    base, ablated = scored(model, examples)
    np.testing.assert_allclose(result.base_target, base, 1e-4, 1e-4)
    np.testing.assert_allclose(result.target, ablated, 1e-4, 1e-4)
    prepared = prepare(model, examples.examples)
    batch = collate(prepared.encodings, model, "left")
    parts = every_head(model.module)
    _, left = sweep_scores(model, batch, prepared.goals, parts, [StandIn("zero")], WHOLE)
    np.testing.assert_allclose(grid(left), ablated, 1e-4, 1e-4)


@pytest.mark.parametrize("task", ["encoder", "masked-lm", "causal-lm", "classification"])
def test_base_is_the_target_of_the_intact_model(tiny_model, random_examples, task):
    model = tiny_model("gpt2" if task == "causal-lm" else "bert", task)
    examples = random_examples(5)
    expected = [goal.value for goal in prepare(model, examples.examples).goals]
    result = ablate(model, examples, modes=["zero"])
    np.testing.assert_allclose(result.base_target, expected, 1e-4, 1e-4)


def test_pairs_are_measured_by_their_similarity(tiny_model, random_examples):
    pairs = tuple(
        replace(example, pair=text_to_sentence("w3 w1 w40", id="p"))
        for example in random_examples(4).examples
    )
    result = ablate(tiny_model("bert"), Examples("pairs", pairs, ""), modes=["zero"])
    assert (np.abs(result.target) <= 1.00001).all() and (result.base_target < 0.999).all()


def test_examples_keep_their_order(tiny_model, random_examples):
    model, examples = tiny_model("bert", "classification"), random_examples(9)
    order = np.random.default_rng(0).permutation(9)
    mixed = replace(examples, examples=tuple(examples.examples[i] for i in order))
    straight, shuffled = (ablate(model, e, modes=["zero"]) for e in (examples, mixed))
    assert list(shuffled.ids) == [f"s{i}" for i in order]
    np.testing.assert_allclose(shuffled.target, straight.target[..., order], 1e-5, 1e-5)


def test_the_table_is_the_mean_of_the_paired_differences(tiny_model, random_examples):
    model = tiny_model("bert", "classification")
    result = ablate(model, random_examples(12, ("LABEL_0", "label_1", None)))
    assert list(result.table.columns)[: len(COLUMNS)] == COLUMNS
    assert len(result.table) == 2 * 2 * 3 * 4
    for mode_number, mode in enumerate(("zero", "mean")):
        for metric, base, ablated, n in (
            ("target", result.base_target, result.target, 12),
            ("accuracy", result.base_correct, result.correct, 8),
        ):
            rows = result.table[(result.table["mode"] == mode) & (result.table.metric == metric)]
            assert (rows.n == n).all() and rows.descriptive.all() and rows.p_adjusted.isna().all()
            delta = np.nanmean(ablated[mode_number] - base, -1)
            np.testing.assert_allclose(rows.delta, delta.ravel(), atol=1e-12)
            np.testing.assert_allclose(rows.ablated - rows.base, rows.delta, atol=1e-6)
            assert (rows.ci_low <= rows.delta).all() and (rows.delta <= rows.ci_high).all()
    assert np.isnan(result.base_correct[2::3]).all()
    assert set(np.unique(result.base_correct[~np.isnan(result.base_correct)])) <= {0.0, 1.0}


def test_accuracy_counts_predicted_labels(tiny_model, random_examples, output_slice):
    model, examples = tiny_model("bert", "classification"), random_examples(8, ("0", "1"))
    result = ablate(model, examples, modes=["zero"])
    output_slice(model.module, "bert", 2, 1).zero_()
    batch = collate(prepare(model, examples.examples).encodings, model)
    with torch.no_grad():
        predicted = model.module(**batch.inputs).logits.argmax(1).numpy()
    np.testing.assert_array_equal(result.correct[0, 2, 1], predicted == np.arange(8) % 2)


def test_the_seed_decides_and_results_reload(tiny_model, random_examples, tmp_path):
    model, examples = tiny_model("bert", "classification"), random_examples(10, ("0", "1"))
    first, again, other = (ablate(model, examples, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first.table, again.table)
    assert not first.table.equals(other.table)
    loaded = Ablation.load(first.save(tmp_path / "a"))
    pd.testing.assert_frame_equal(first.table, loaded.table)
    np.testing.assert_array_equal(first.target, loaded.target)
    np.testing.assert_array_equal(first.ids, loaded.ids)
    assert loaded.provenance == first.provenance
    assert first.provenance.options["modes"] == ["zero", "mean"]


def test_what_does_not_fit_is_skipped_and_counted(tiny_model, random_examples):
    examples = random_examples(4)
    long = Example(text_to_sentence(" ".join(["w1"] * 60), id="long"))
    mixed = replace(examples, examples=(long, *examples.examples))
    result = ablate(tiny_model("bert"), mixed, modes=["zero"])
    assert list(result.ids) == ["s0", "s1", "s2", "s3"] and result.provenance.sentences == 4
    assert [item[0] for item in result.provenance.skipped] == ["long"]


def test_bad_input_is_refused(tiny_model, random_examples):
    model = tiny_model("bert", "classification")
    with pytest.raises(BertologyError, match=r"drop.*resample"):
        ablate(model, random_examples(3), modes=["drop"])
    with pytest.raises(BertologyError, match="at least two"):
        ablate(model, random_examples(1))
    assert len(ablate(model, random_examples(1), modes="zero").table) == 12
    with pytest.raises(BertologyError, match="at least one text"):
        mean_head_outputs(model, [])


def test_layers_may_differ_in_their_heads(tiny_model, random_examples):
    model = tiny_model("bert", "classification")
    attention = model.module.bert.encoder.layer[0].attention
    for name in ("query", "key", "value"):
        setattr(attention.self, name, torch.nn.Linear(32, 24))
    attention.output.dense = torch.nn.Linear(24, 32)
    result = ablate(model, random_examples(3), modes=["zero"])
    assert list(result.parts.part) == [
        f"L{layer}H{head}" for layer, heads in enumerate((3, 4, 4)) for head in range(heads)
    ]
    assert (result.table.delta != 0).all()
    with pytest.raises(BertologyError, match="grid"):
        _ = result.target
    with pytest.raises(BertologyError, match=r"\[3, 4, 4\] heads"):
        mean_head_outputs(model, [])


@pytest.mark.parametrize("broken", [False, True])
def test_the_model_is_left_as_it_was(tiny_model, random_examples, monkeypatch, broken):
    model, examples = tiny_model("bert", "classification"), random_examples(4)
    model.module.train()
    implementation = model.config._attn_implementation
    weights = {k: v.clone() for k, v in model.module.state_dict().items()}
    if broken:
        calls = []

        def failing(*given):
            calls.append(1)
            if len(calls) == 5:
                raise RuntimeError("on purpose")
            return packing(*given)

        packing = packed._packed
        monkeypatch.setattr(packed, "_packed", failing)
        with pytest.raises(RuntimeError, match="on purpose"):
            ablate(model, examples)
    else:
        ablate(model, examples)
    assert model.config._attn_implementation == implementation
    for part in model.module.modules():
        assert part.training
        assert "forward" not in part.__dict__
        assert not part._forward_hooks and not part._forward_pre_hooks
    for name, weight in model.module.state_dict().items():
        assert torch.equal(weight, weights[name])
