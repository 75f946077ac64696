"""A pruned model computes what the whole one computes with these heads and layers off."""

from contextlib import ExitStack

import numpy as np
import pytest
import torch

import bertology
from bertology.ablation.structural import prune
from bertology.capture import find_sites, gate_heads, hooked, verify
from bertology.errors import CaptureError, ModelError

ONE_STACK = [("bert", "classification"), ("roberta", "encoder"), ("electra", "masked-lm"),
             ("ernie", "encoder"), ("distilbert", "masked-lm"), ("gpt2", "causal-lm"),
             ("llama", "causal-lm")]  # fmt: skip
RAGGED = [(0, 1), (1, 0), (1, 2), (1, 3), (2, 3)]
TWO_STACKS = {
    ("encoder", "self"): [(0, 1), (1, 0), (1, 2)],
    ("decoder", "self"): [(0, 0), (0, 3), (2, 1)],
    ("decoder", "cross"): [(0, 2), (1, 1), (1, 2), (1, 3)],
}


def gates(model, heads, stack=None, kind=None):
    """The hook that sets heads to zero."""
    table = torch.ones(3, 4)
    for layer, head in heads:
        table[layer, head] = 0
    return gate_heads(table, stack=stack, kind=kind)


def real(inputs, output):
    """The part of the outputs that belongs to real tokens."""
    first = output[0]
    return first[inputs["attention_mask"].bool()] if first.shape[:2] == (3, 9) else first


@torch.no_grad()
def gated(model, inputs, *hooks):
    with hooked(model.module, *hooks):
        return real(inputs, model.module(**inputs))


@torch.no_grad()
def plain(model, inputs):
    return real(inputs, model.module(**inputs))


@pytest.mark.parametrize(("family", "task"), ONE_STACK)
@pytest.mark.parametrize("side", ["right", "left"])
def test_pruned_equals_gated(any_tiny, padded, family, task, side):
    model = any_tiny(family, task)
    inputs = padded(model, side)
    whole = plain(model, inputs)
    pruned = prune(model, RAGGED)
    found, expected = plain(pruned, inputs), gated(model, inputs, gates(model, RAGGED))
    assert (found - expected).abs().max() < 1e-5
    assert (found - whole).abs().max() > 0.05  # the heads did something
    assert torch.equal(plain(model, inputs), whole)  # the model given is as it was
    assert [site.heads for site in find_sites(model.module)] == [4, 4, 4]


@pytest.mark.parametrize("family", ["t5", "bart"])
@pytest.mark.parametrize("side", ["right", "left"])
def test_every_kind_of_attention_of_two_stacks(any_tiny, padded, family, side):
    model = any_tiny(family)
    inputs = padded(model, side)
    pruned = prune(model, TWO_STACKS)
    hooks = [gates(model, heads, *place) for place, heads in TWO_STACKS.items()]
    found, expected = plain(pruned, inputs), gated(model, inputs, *hooks)
    assert (found - expected).abs().max() < 1e-5 * max(1, expected.abs().max())
    for place, heads in TWO_STACKS.items():  # each kind matters by itself
        alone = plain(prune(model, {place: heads}), inputs)
        assert (alone - plain(model, inputs)).abs().max() > 0.01
        assert (alone - found).abs().max() > 0.01


def sizes(model):
    return {name: tuple(p.shape) for name, p in model.module.base_model.named_parameters()}


def test_weights_are_gone_from_query_key_value_and_output(any_tiny):
    model = any_tiny("bert")
    pruned = prune(model, [(0, 1), (0, 2), (1, 0)])
    found = sizes(pruned)
    for layer, width in ((0, 16), (1, 24), (2, 32)):
        place = f"encoder.layer.{layer}.attention"
        for name in ("query", "key", "value"):
            assert found[f"{place}.self.{name}.weight"] == (width, 32)
            assert found[f"{place}.self.{name}.bias"] == (width,)
        assert found[f"{place}.output.dense.weight"] == (32, width)
    # 3 heads of width 8: three maps of 8 x 32 with biases, and 32 x 8 of the output.
    count = [sum(p.numel() for p in m.module.parameters()) for m in (model, pruned)]
    assert count[0] - count[1] == 3 * (3 * (8 * 32 + 8) + 32 * 8)


def test_conv_of_gpt2_keeps_query_key_and_value_apart(any_tiny):
    model = any_tiny("gpt2", "causal-lm")
    own = prune(model, [(0, 0), (0, 2)]).module.transformer.h[0].attn
    whole = model.module.transformer.h[0].attn.c_attn.weight
    assert own.split_size == 16
    wanted = [part * 32 + head * 8 + i for part in range(3) for head in (1, 3) for i in range(8)]
    assert torch.equal(own.c_attn.weight, whole[:, wanted])
    assert torch.equal(own.c_proj.weight, model.module.transformer.h[0].attn.c_proj.weight[
        [head * 8 + i for head in (1, 3) for i in range(8)]])  # fmt: skip


@pytest.mark.parametrize(
    ("heads", "groups", "share"),
    [
        ([(0, 0), (0, 1)], 1, 2),  # a whole group: its keys and values go
        ([(0, 0), (0, 3)], 2, 1),  # one of each: keys and values stay, each used once
        ([(0, 3)], 3, 1),  # 2 and 1: those of the first group are stored twice
    ],
)
def test_shared_keys_and_values(any_tiny, padded, heads, groups, share):
    model = any_tiny("llama", "causal-lm")
    assert model.config.num_key_value_heads == 2
    pruned = prune(model, heads)
    own = pruned.module.model.layers[0].self_attn
    assert own.k_proj.weight.shape == own.v_proj.weight.shape == (8 * groups, 32)
    assert own.num_key_value_groups == share
    inputs = padded(model, "left")
    expected = gated(model, inputs, gates(model, heads))
    assert (plain(pruned, inputs) - expected).abs().max() < 1e-5


def test_greatest_common_divisor_of_groups(tiny_model):
    import transformers

    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=60, hidden_size=48, num_hidden_layers=1, num_attention_heads=12,
        num_key_value_heads=3, intermediate_size=48, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    from dataclasses import replace

    base = tiny_model("llama", "causal-lm")
    model = replace(base, module=transformers.LlamaForCausalLM(config).eval())
    # Of 4, 4 and 4 heads 4, 2 and none are kept: groups of 2, three keys and values.
    pruned = prune(model, [(0, 4), (0, 6), (0, 8), (0, 9), (0, 10), (0, 11)])
    own = pruned.module.model.layers[0].self_attn
    assert own.k_proj.weight.shape == (3 * 4, 48) and own.num_key_value_groups == 2
    keys = model.module.model.layers[0].self_attn.k_proj.weight
    assert torch.equal(own.k_proj.weight, torch.cat([keys[:4], keys[:4], keys[4:8]]))


def skipping(block):
    """A hook that lets a block hand on what it read, in the shape in which it returns it."""

    def hand_on(_, arguments, named, output):
        read = arguments[0] if arguments else named["hidden_states"]
        return read if isinstance(output, torch.Tensor) else (read, *output[1:])

    return block.register_forward_hook(hand_on, with_kwargs=True)


@pytest.mark.parametrize(("family", "task"), ONE_STACK)
@pytest.mark.parametrize("side", ["right", "left"])
def test_layers_removed_equal_layers_skipped(any_tiny, padded, family, task, side):
    model = any_tiny(family, task)
    inputs = padded(model, side)
    pruned = prune(model, [(2, 1)], layers=[0, 1])
    assert pruned.config.num_hidden_layers == 1 and model.config.num_hidden_layers == 3
    found = plain(pruned, inputs)
    lists = [m for m in model.module.modules() if isinstance(m, torch.nn.ModuleList)]
    with hooked(model.module, gates(model, [(2, 1)])), ExitStack() as stack, torch.no_grad():
        for block in lists[0][:2]:
            stack.callback(skipping(block).remove)
        expected = real(inputs, model.module(**inputs))
    assert (found - expected).abs().max() < 1e-5
    assert (found - plain(model, inputs)).abs().max() > 0.05


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_layers_of_two_stacks(any_tiny, padded, family):
    model = any_tiny(family)
    inputs = padded(model, "right")
    # The first layers, which hold the position bias of all in T5.
    pruned = prune(model, layers={"encoder": [0], "decoder": [0, 2]})
    base = model.module.base_model
    lists = [getattr(s, "block", None) or s.layers for s in (base.encoder, base.decoder)]
    with torch.no_grad(), ExitStack() as stack:
        for block in (lists[0][0], lists[1][0], lists[1][2]):
            stack.callback(skipping(block).remove)
        expected = model.module(**inputs)[0]
    found = plain(pruned, inputs)
    assert (found - expected).abs().max() < 1e-5 * max(1, expected.abs().max())
    names = ("num_layers", "num_decoder_layers") if family == "t5" else (
        "encoder_layers", "decoder_layers")  # fmt: skip
    assert [getattr(pruned.config, name) for name in names] == [2, 1]
    assert [getattr(model.config, name) for name in names] == [3, 3]


@pytest.mark.parametrize(
    ("family", "task"), [("gpt2", "causal-lm"), ("llama", "causal-lm"), ("t5", ""), ("bart", "")]
)
def test_generation_with_a_cache(any_tiny, padded, family, task):
    """Greedy tokens are those without a cache, and those of the gated model."""
    model = any_tiny(family, task)
    places = {(None, None): RAGGED} if task else TWO_STACKS
    pruned = prune(model, RAGGED if task else TWO_STACKS)
    inputs = padded(model, "left")
    inputs.pop("decoder_input_ids", None)
    options = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0}
    with torch.no_grad():
        cached = pruned.module.generate(**inputs, **options)
        afresh = pruned.module.generate(**inputs, **options, use_cache=False)
        with hooked(model.module, *(gates(model, h, *place) for place, h in places.items())):
            expected = model.module.generate(**inputs, **options)
        whole = model.module.generate(**inputs, **options)
    assert cached.tolist() == afresh.tolist() == expected.tolist()
    assert whole.tolist() != cached.tolist()


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_generation_without_some_layers(any_tiny, padded, family):
    pruned = prune(any_tiny(family, "causal-lm"), [(2, 0)], layers=[0])
    inputs = padded(pruned, "left")
    options = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0}
    with torch.no_grad():
        cached = pruned.module.generate(**inputs, **options)
        afresh = pruned.module.generate(**inputs, **options, use_cache=False)
    assert cached.tolist() == afresh.tolist()


@pytest.mark.parametrize(("family", "task"), [*ONE_STACK, ("t5", ""), ("bart", "")])
def test_a_pruned_model_can_be_looked_into(any_tiny, family, task):
    pruned = prune(any_tiny(family, task), RAGGED if task else TWO_STACKS)
    assert all(report.passed for report in verify(pruned.module))
    assert len({site.heads for site in find_sites(pruned.module)}) > 1
    if not task:
        return
    (captured,) = bertology.capture.capture(pruned, ["w1 w2 w3 . w4"], ("attention", "head_output"))
    left = [4 - sum(layer == other for other, _ in RAGGED) for layer in range(3)]
    assert left == [3, 1, 3]
    for attention, output, heads in zip(
        captured.attention, captured.head_output, left, strict=True
    ):
        np.testing.assert_allclose(attention[:heads].sum(-1), 1, rtol=1e-5)
        assert np.isnan(attention[heads:]).all() and not np.isnan(output[:, :heads]).any()
    # The heads that are left look at what they looked at before, in the first layer.
    (whole,) = bertology.capture.capture(any_tiny(family, task), ["w1 w2 w3 . w4"])
    np.testing.assert_allclose(captured.attention[0], whole.attention[0][[0, 2, 3]], atol=1e-5)


@pytest.mark.parametrize(
    ("family", "task"),
    [("bert", "encoder"), ("distilbert", "masked-lm"), ("llama", "causal-lm"), ("t5", ""),
     ("bart", "")],
)  # fmt: skip
def test_a_layer_without_heads(any_tiny, padded, family, task):
    model = any_tiny(family, task)
    every = [(1, head) for head in range(4)]
    heads = every if task else {("decoder", "self"): every}
    pruned = prune(model, heads)
    inputs = padded(model, "left")
    hooks = [gates(model, every)] if task else [gates(model, every, "decoder", "self")]
    expected = gated(model, inputs, *hooks)
    assert (plain(pruned, inputs) - expected).abs().max() < 1e-5 * max(1, expected.abs().max())
    sites = [s for s in find_sites(pruned.module) if (s.stack, s.kind) == ("decoder", "self")
             or task]  # fmt: skip
    assert [site.layer for site in sites] == [0, 2]
    assert all(report.passed for report in verify(pruned.module))
    if family in ("llama", "t5", "bart"):
        inputs.pop("decoder_input_ids", None)
        options = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
        with torch.no_grad():
            cached = pruned.module.generate(**inputs, **options)
            afresh = pruned.module.generate(**inputs, **options, use_cache=False)
        assert cached.tolist() == afresh.tolist()


def test_gpt2_needs_a_head_in_every_layer(any_tiny):
    model = any_tiny("gpt2", "causal-lm")
    with pytest.raises(ModelError, match="cannot run without any head; keep one"):
        prune(model, [(1, head) for head in range(4)])


@pytest.mark.parametrize("family", ["llama", "t5", "bart"])
def test_the_first_layer_of_a_decoder_keeps_a_head(any_tiny, family):
    model = any_tiny(family, "causal-lm" if family == "llama" else "")
    every = [(0, head) for head in range(4)]
    heads = every if family == "llama" else {("decoder", "self"): every}
    with pytest.raises(CaptureError, match="reads the length of its cache there"):
        prune(model, heads)
    one = [(1, head) for head in range(4)]
    with pytest.raises(CaptureError, match="the first layer that is left"):
        prune(model, one if family == "llama" else {("decoder", "self"): one},
              [0] if family == "llama" else {"decoder": [0]})  # fmt: skip


def test_albert_shares_its_heads(any_tiny, padded):
    model = any_tiny("albert")
    with pytest.raises(ModelError, match="share one set of weights"):
        prune(model, [(0, 1)])
    heads = [(layer, head) for layer in range(3) for head in (1, 2)]
    pruned = prune(model, heads)
    inputs = padded(model, "right")
    expected = gated(model, inputs, gates(model, heads))
    assert (plain(pruned, inputs) - expected).abs().max() < 1e-5
    assert [site.heads for site in find_sites(pruned.module)] == [2, 2, 2]
    with pytest.raises(ModelError, match="no modules of their own"):
        prune(model, layers=[0])


@pytest.mark.parametrize(
    ("heads", "layers", "message"),
    [
        ([], [], "Nothing is to be removed"),
        ([(0, 4)], [], r"no head L0H4 \(encoder self\); layer 0 has 4 heads"),
        ([(3, 0)], [], r"no head L3H0 \(encoder self\); the layers with attention are 0, 1, 2"),
        ([(-1, 0)], [], "no head L-1H0"),
        ([(lay, h) for lay in range(3) for h in range(4)], [], "All 12 heads .* would be removed"),
        ([(0, h) for h in range(4)], [1, 2], "All 4 heads .* would be removed"),
        ([], [3], "no layer 3"),
        ([], [0, 1, 2], "All 3 layers"),
        ({("decoder", "cross"): [(0, 0)]}, [], "it has encoder self"),
    ],
)
def test_what_cannot_be_removed_is_refused(any_tiny, heads, layers, message):
    with pytest.raises(CaptureError, match=message):
        prune(any_tiny("bert"), heads, layers)


def test_kinds_and_stacks_must_be_named_where_there_are_several(any_tiny):
    model = any_tiny("t5")
    with pytest.raises(CaptureError, match="say which: heads="):
        prune(model, [(0, 1)])
    with pytest.raises(CaptureError, match="say which: layers="):
        prune(model, layers=[1])


def test_heads_of_a_removed_layer_go_with_it(any_tiny):
    model = any_tiny("bert")
    one, other = prune(model, [(1, 0), (0, 2)], [1]), prune(model, [(0, 2)], [1])
    assert one.config.bertology_pruning == other.config.bertology_pruning


def test_a_pruned_model_is_not_pruned_again(any_tiny):
    pruned = prune(any_tiny("bert"), [(0, 1)])
    with pytest.raises(ModelError, match="has been pruned already"):
        prune(pruned, [(0, 0)])


def test_unknown_layouts_are_refused(tiny_model):
    from dataclasses import replace

    import transformers

    config = transformers.XLNetConfig(vocab_size=60, d_model=32, n_layer=2, n_head=4, d_inner=48)
    model = replace(tiny_model("bert"), module=transformers.XLNetModel(config).eval())
    with pytest.raises(ModelError, match="It is not known how XLNet"):
        prune(model, [(0, 1)])


def test_a_wrong_surgery_is_found_out(any_tiny, monkeypatch):
    from bertology.ablation.structural import pruning

    def wrong(copy, plan):
        plan["heads"][0]["heads"] = [2]
        real_shrink(copy, plan)
        plan["heads"][0]["heads"] = [1]

    real_shrink = pruning.shrink
    monkeypatch.setattr(pruning, "shrink", wrong)
    with pytest.raises(ModelError, match="computes something else"):
        prune(any_tiny("bert"), [(0, 1)])


def test_weights_in_half_precision(any_tiny, padded):
    from dataclasses import replace

    model = any_tiny("bert")
    half = replace(model, module=any_tiny("bert").module.to(torch.bfloat16), dtype="bfloat16")
    pruned = prune(half, [(0, 1)])
    assert {p.dtype for p in pruned.module.parameters()} == {torch.bfloat16}
