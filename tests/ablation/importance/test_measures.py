"""Weights, confidence and relevance of heads have the values that can be known."""

import numpy as np
import pytest
import torch

from bertology import BertologyError
from bertology.ablation.importance import METHODS, importance
from bertology.ablation.importance.confidence import confidence
from bertology.ablation.importance.relevance import signed_relevance
from bertology.ablation.importance.weights import value_weights
from bertology.attribution.targets import prepare
from bertology.capture import capture, find_sites

TEXTS = ("w0 w1 w0 w1", "w2 w3 w2 w3")


def grid(model, examples, method, **options):
    table = importance(model, examples, method=method, **options).table
    return table.importance.to_numpy().reshape(3, 4)


def value_of(module, family, layer):
    """W_V of each head as (head, hidden, width), by the names of the family."""
    if family == "gpt2":
        matrix = module.transformer.h[layer].attn.c_attn.weight.detach()[:, 64:]
    elif family == "llama":
        matrix = module.model.layers[layer].self_attn.v_proj.weight.detach().T
        shared = matrix.unflatten(1, (2, 8)).transpose(0, 1)
        return shared.repeat_interleave(2, 0)
    else:
        matrix = module.base_model.encoder.layer[layer].attention.self.value.weight.detach().T
    return matrix.unflatten(1, (4, 8)).transpose(0, 1)


FAMILIES = [("bert", "classification"), ("gpt2", "causal-lm"), ("llama", "causal-lm")]


@pytest.mark.parametrize(("family", "task"), FAMILIES)
def test_weight_norms(tiny_model, random_examples, output_slice, family, task):
    model, examples = tiny_model(family, task), random_examples(3)
    module = model.module
    values = value_weights(module)
    alone, product = np.zeros((3, 4)), np.zeros((3, 4))
    for site in find_sites(module):
        expected = value_of(module, family, site.layer)
        torch.testing.assert_close(values[site], expected)
        for head in range(4):
            piece = output_slice(module, family, site.layer, head)
            piece = piece if family == "gpt2" else piece.T
            alone[site.layer, head] = piece.norm()
            product[site.layer, head] = (expected[head] @ piece).norm()
    np.testing.assert_allclose(grid(model, examples, "output_norm"), alone, 1e-5)
    np.testing.assert_allclose(grid(model, examples, "value_output_norm"), product, 1e-5)


def test_the_norm_of_the_product_does_not_change_with_the_scale(
    tiny_model, random_examples, output_slice
):
    model, examples = tiny_model("bert", "classification"), random_examples(3)
    before = {name: grid(model, examples, name) for name in ("output_norm", "value_output_norm")}
    output_slice(model.module, "bert", 1, 2).mul_(4)
    value = model.module.bert.encoder.layer[1].attention.self.value.weight.data
    value[16:24] /= 4
    after = {name: grid(model, examples, name) for name in before}
    ratio = after["output_norm"] / before["output_norm"]
    assert ratio[1, 2] == pytest.approx(4)
    np.testing.assert_allclose(np.delete(ratio.ravel(), 6), 1)
    np.testing.assert_allclose(after["value_output_norm"], before["value_output_norm"], 1e-5)


def test_weights_have_no_interval(tiny_model, random_examples, tmp_path):
    result = importance(
        tiny_model("bert", "classification"), random_examples(3), method="output_norm"
    )
    table = result.table
    assert table.ci_low.isna().all() and (table.n == 0).all() and not table.descriptive.any()
    assert result.per_example.shape == (1, 3, 4) and set(table.against) == {""}
    assert type(result).load(result.save(tmp_path / "r")).table.equals(table)


def test_the_columns_and_their_order(tiny_model, random_examples):
    columns = ["layer", "head", "importance", "ci_low", "ci_high", "n", "normalised",
               "descriptive", "method", "against"]  # fmt: skip
    model, examples = tiny_model("bert", "classification"), random_examples(30)
    for method, own in METHODS.items():
        options = {"batch_size": 2} if own.batches else {}
        table = importance(model, examples, method=method, **options).table
        assert list(table.columns) == columns and len(table) == 12
        assert set(table.method) == {method}
        norms = (table.normalised**2).groupby(table.layer).sum()
        np.testing.assert_allclose(norms, 1, 1e-6)
        if own.texts:
            assert (table.n == 30).all() and (table.ci_low <= table.importance).all()
            assert (table.importance <= table.ci_high).all()


def test_confidence_is_the_largest_weight_but_for_separators(tiny_model, random_examples):
    model, examples = tiny_model("bert"), random_examples(6)
    prepared = prepare(model, examples.examples)
    found = confidence(model, prepared.encodings, prepared.goals, seed=0)
    captured = capture(model, [example.sentence for example in examples.examples], ["attention"])
    differ = False
    for number, encoding in enumerate(prepared.encodings):
        attention = captured[number].attention
        assert encoding.sep.sum() == 1 and encoding.sep[-1]
        kept = attention[..., ~encoding.sep].max(-1).mean(-1)
        np.testing.assert_allclose(found[number], kept, atol=1e-5)
        differ |= (attention.max(-1).mean(-1) > kept + 0.01).any()
    assert differ, "positive control: some rows have their maximum at the separator"


def test_confidence_of_even_and_of_certain_attention(additive, tiny_model, texts):
    certain = grid(additive, texts(*TEXTS), "confidence")
    np.testing.assert_allclose(certain[2, :3], 1, atol=1e-6)
    model = tiny_model("bert")
    for layer in model.module.encoder.layer:
        layer.attention.self.query.weight.data.zero_()
        layer.attention.self.query.bias.data.zero_()
    examples = texts("w1 w2 w3", "w1 w2 w3 w4 w5 w6")
    expected = np.mean([1 / 5, 1 / 8])
    np.testing.assert_allclose(grid(model, examples, "confidence"), expected, 1e-5)
    # A token of a causal model sees those before it: the mean of 1, 1/2, 1/3 and 1/4.
    attention = additive.module.h[2].attn.c_attn.weight.data
    attention[:, :64] = 0
    causal = grid(additive, texts(*TEXTS), "confidence")
    np.testing.assert_allclose(causal, np.mean([1, 1 / 2, 1 / 3, 1 / 4]), 1e-5)


def test_relevance_is_what_a_head_adds_where_that_is_all_there_is(additive, texts):
    def written(outputs, batch):
        return (outputs[0][..., 31] * batch.mask).sum(1)

    examples = texts("w0 w2 w0 w3", "w2 w2 w3 w2")
    prepared = prepare(additive, examples.examples, target=written)
    found = signed_relevance(additive, prepared.encodings, prepared.goals, seed=0)
    expected = np.zeros((2, 3, 4))
    expected[:, 2, :3] = [(4, 0, 6), (4, -8, 6)]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    shares = grid(additive, examples, "relevance", target=written)
    expected = (np.array([4, 0, 6, 0]) / 10 + np.array([4, 8, 6, 0]) / 18) / 2
    np.testing.assert_allclose(shares[2], expected, atol=1e-5)
    assert (shares[:2] == 0).all()


def test_relevance_passes_a_norm_with_its_deviation_held_constant(tiny_model, random_examples):
    """Heads of the last layer, then one norm and the logits: closed form by hand."""
    model = tiny_model("gpt2", "causal-lm")
    module = model.module
    for block in module.transformer.h:
        block.mlp.c_proj.weight.data.zero_()
    prepared = prepare(model, random_examples(3).examples)
    found = signed_relevance(model, prepared.encodings, prepared.goals, seed=0)
    rows, attention = {}, module.transformer.h[2].attn
    handles = [
        attention.c_proj.register_forward_pre_hook(lambda _, given: rows.update(z=given[0])),
        module.transformer.ln_f.register_forward_pre_hook(lambda _, given: rows.update(x=given[0])),
    ]
    for number, (encoding, goal) in enumerate(zip(prepared.encodings, prepared.goals, strict=True)):
        with torch.no_grad():
            module(torch.from_numpy(encoding.ids)[None])
        z, x = (rows[name][0, goal.position].double() for name in ("z", "x"))
        deviation = (x.var(correction=0) + module.transformer.ln_f.eps).sqrt()
        scale = module.transformer.ln_f.weight.double()
        for head in range(4):
            place = slice(8 * head, 8 * head + 8)
            added = z[place] @ attention.c_proj.weight.data[place].double()
            normed = (added - added.mean()) / deviation * scale
            expected = (normed @ module.lm_head.weight.data[goal.index].double()).item()
            assert found[number, 2, head] == pytest.approx(expected, rel=1e-3, abs=1e-4)
    for handle in handles:
        handle.remove()


def test_relevance_in_batches_equals_singles_and_leaves_the_model(tiny_model, random_examples):
    model = tiny_model("bert", "classification")
    prepared = prepare(model, random_examples(5).examples)
    together = signed_relevance(model, prepared.encodings, prepared.goals, seed=0)
    alone = [
        signed_relevance(model, [e], [g], seed=0)[0]
        for e, g in zip(prepared.encodings, prepared.goals, strict=True)
    ]
    np.testing.assert_allclose(together, alone, 1e-3, 1e-4)
    assert all(p.requires_grad and p.grad is None for p in model.module.parameters())
    assert not any(part._forward_hooks for part in model.module.modules())


def test_relevance_that_gets_lost_is_refused(tiny_model, random_examples):
    def cubed(outputs, batch):
        return outputs[0][:, 0] ** 3

    with pytest.raises(BertologyError, match="conserve"):
        importance(
            tiny_model("bert", "classification"), random_examples(3), method="relevance",
            target=cubed,
        )  # fmt: skip
