"""Importance is the derivative of the target by a gate on the head."""

import numpy as np
import pandas as pd
import pytest
import torch

from bertology import BertologyError
from bertology.ablation import Importance, head_importance, importance
from bertology.ablation.importance import gate_gradients
from bertology.attribution.targets import measure, prepare
from bertology.capture import collate, gate_heads, hooked

TASKS = [("bert", "classification"), ("bert", "encoder"), ("gpt2", "causal-lm"),
         ("llama", "causal-lm")]  # fmt: skip


@pytest.mark.parametrize(("family", "task"), TASKS)
def test_it_equals_finite_differences(tiny_model, random_examples, family, task):
    model = tiny_model(family, task)
    prepared = prepare(model, random_examples(3).examples)
    batch = collate(prepared.encodings, model)
    found = head_importance(model, prepared.encodings, prepared.goals)
    step = 1e-2
    for layer in range(3):
        for head in range(4):
            ends = []
            for sign in (1, -1):
                gates = torch.ones(3, 4)
                gates[layer, head] += sign * step
                with torch.no_grad(), hooked(model.module, gate_heads(gates)):
                    ends.append(measure(model, batch, prepared.goals).double().numpy())
            slope = np.abs(ends[0] - ends[1]) / (2 * step)
            np.testing.assert_allclose(found[:, layer, head], slope, 2e-2, 2e-2 * found.max())


# Classifiers of the BERT kind read the first position, so they cannot be padded on the left.
@pytest.mark.parametrize(("family", "task"), TASKS[1:])
def test_a_batch_equals_singles_padded_on_either_side(tiny_model, random_examples, family, task):
    model = tiny_model(family, task)
    prepared = prepare(model, random_examples(6).examples)
    together = head_importance(model, prepared.encodings, prepared.goals)
    alone = np.concatenate([
        head_importance(model, [e], [g])
        for e, g in zip(prepared.encodings, prepared.goals, strict=True)
    ])  # fmt: skip
    left = np.abs(gate_gradients(model, collate(prepared.encodings, model, "left"), prepared.goals))
    np.testing.assert_allclose(together, alone, 1e-3, 1e-4)
    np.testing.assert_allclose(left, alone, 1e-3, 1e-4)


def test_a_head_that_is_not_read_is_unimportant(tiny_model, random_examples, output_slice):
    model = tiny_model("bert", "classification")
    output_slice(model.module, "bert", 1, 2).zero_()
    values = importance(model, random_examples(5)).per_example
    assert (values[:, 1, 2] == 0).all()
    assert (np.delete(values.reshape(5, -1), 6, axis=1) > 0).all()


def test_the_table_and_its_file(tiny_model, random_examples, tmp_path):
    model, examples = tiny_model("bert", "classification"), random_examples(12)
    result = importance(model, examples)
    table = result.table
    np.testing.assert_allclose(table.importance, result.per_example.mean(0).ravel(), 1e-5)
    assert ((table.ci_low <= table.importance) & (table.importance <= table.ci_high)).all()
    norms = table.assign(square=table.normalised**2).groupby("layer").square.sum()
    np.testing.assert_allclose(norms, 1)
    np.testing.assert_allclose(
        table.normalised / table.importance, 1 / np.repeat(
            np.linalg.norm(table.importance.to_numpy().reshape(3, 4), axis=1), 4)
    )  # fmt: skip
    pd.testing.assert_frame_equal(table, importance(model, examples).table)
    loaded = Importance.load(result.save(tmp_path / "i"))
    pd.testing.assert_frame_equal(table, loaded.table)
    np.testing.assert_array_equal(result.per_example, loaded.per_example)


def test_the_model_is_left_as_it_was_and_gets_no_gradients(tiny_model, random_examples):
    model = tiny_model("bert", "classification")
    implementation = model.config._attn_implementation
    with torch.no_grad():
        importance(model, random_examples(3))
    assert model.config._attn_implementation == implementation
    assert all(parameter.grad is None for parameter in model.module.parameters())
    assert not any(part._forward_pre_hooks for part in model.module.modules())


def test_goals_must_match(tiny_model, random_examples):
    model = tiny_model("bert", "classification")
    prepared = prepare(model, random_examples(3).examples)
    with pytest.raises(BertologyError, match="3 encodings"):
        head_importance(model, prepared.encodings, prepared.goals[:2])
    with pytest.raises(BertologyError, match="at least one text"):
        head_importance(model, [], [])
