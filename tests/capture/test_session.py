"""Captured attention is the model's own, whatever the padding, and sessions leave no trace."""

import numpy as np
import pytest
import torch
import transformers

from bertology import BertologyError
from bertology.capture import (
    Hook,
    capture,
    collate,
    find_sites,
    gate_heads,
    hidden_states,
    hooked,
    replace_attention,
    uniform_attention,
    verify,
)
from bertology.corpora import encode
from bertology.corpora.text import text_to_sentence

FAMILIES = ["bert", "roberta", "albert", "distilbert", "electra", "ernie", "gpt2", "llama"]


def batch_of(model, texts, side="right"):
    encodings = [encode(text_to_sentence(t, id=t), model.tokenizer) for t in texts]
    return collate(encodings, model, side)


def run(model, batch, *hooks):
    with torch.no_grad(), hooked(model.module, *hooks):
        return model.module(**batch.inputs)[0]


def captured(model, batch):
    kept = {}
    run(model, batch, Hook(observe=lambda e: kept.__setitem__(e.site.layer, e.attention)))
    return kept


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("family", FAMILIES)
def test_equal_to_the_models_own_eager_attention(tiny_model, plain_words, family, side) -> None:
    model = tiny_model(family)
    batch = batch_of(model, plain_words.texts, side)
    kept = captured(model, batch)
    model.module.set_attn_implementation("eager")
    with torch.no_grad():
        own = model.module(**batch.inputs, output_attentions=True).attentions
    valid = batch.mask.bool()
    assert len(own) == len(kept) == 3
    for layer, attention in enumerate(own):
        rows = attention.transpose(1, 2)[valid]
        assert torch.equal(rows, kept[layer].transpose(1, 2)[valid])
        assert rows.max() > 0.4  # far from evenly spread: the comparison means something
        assert torch.allclose(rows.sum(-1), torch.ones(1), atol=1e-6)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_equals_singles(tiny_model, plain_words, family, side) -> None:
    model = tiny_model(family)
    batch = batch_of(model, plain_words.texts, side)
    together, output = captured(model, batch), run(model, batch)
    for row, text in enumerate(plain_words.texts):
        single = batch_of(model, [text])
        alone, length = captured(model, single), len(single.encodings[0])
        start = batch.mask.shape[1] - length if side == "left" else 0
        place = slice(start, start + length)
        for layer, attention in alone.items():
            assert torch.allclose(attention[0], together[layer][row, :, place, place], atol=1e-5)
        assert torch.allclose(run(model, single)[0], output[row, place], atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_outputs_are_what_they_were(tiny_model, plain_words, family) -> None:
    model = tiny_model(family)
    batch = batch_of(model, plain_words.texts)
    valid = batch.mask.bool()
    with torch.no_grad():
        bare = model.module(**batch.inputs)[0][valid]
    # Nothing asked inside attention: the very same computation.
    assert torch.equal(run(model, batch)[valid], bare)
    seen = Hook(observe=lambda e: None)
    assert torch.allclose(run(model, batch, seen)[valid], bare, atol=1e-4)
    fast = Hook(observe=lambda e: None, attention=False)
    assert torch.allclose(run(model, batch, fast)[valid], bare, atol=1e-4)


def test_the_fast_kernel_stays_when_only_head_outputs_are_asked(tiny_model, plain_words) -> None:
    model, kept = tiny_model("bert"), []
    batch = batch_of(model, plain_words.texts)
    run(model, batch, Hook(observe=lambda e: kept.append(e), attention=False))
    assert all(event.computation.known_attention is None for event in kept)
    run(model, batch, Hook(observe=lambda e: kept.append(e), layers=frozenset({1})))
    assert [event.site.layer for event in kept[3:]] == [1]


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_times_values_is_the_head_output(tiny_model, plain_words, family) -> None:
    model, kept = tiny_model(family), []
    batch = batch_of(model, plain_words.texts)
    run(model, batch, Hook(observe=kept.append))
    for event in kept:
        product = torch.einsum("bhqk,bhkd->bqhd", event.attention, event.value)
        assert torch.allclose(product, event.head_output, atol=1e-5)
        rows = batch.mask.bool()
        on_hidden = event.attention * ~event.visible
        assert on_hidden.transpose(1, 2)[rows].abs().max() == 0
    if family in ("gpt2", "llama"):
        upper = torch.triu(torch.ones(kept[0].attention.shape[-2:]), diagonal=1).bool()
        assert not kept[0].visible[0, 0][upper].any()


@pytest.mark.parametrize("family", FAMILIES)
def test_hidden_states_are_block_outputs(tiny_model, plain_words, family) -> None:
    model = tiny_model(family)
    batch = batch_of(model, plain_words.texts)
    with torch.no_grad(), hidden_states(model.module) as states:
        own = model.module(**batch.inputs, output_hidden_states=True).hidden_states
    assert len(states) == len(own) == 4
    final_norm = family in ("gpt2", "llama")  # theirs is taken after the final norm
    for ours, theirs in list(zip(states, own, strict=True))[: 3 if final_norm else 4]:
        assert torch.equal(ours, theirs)
    if final_norm:
        norm = model.module.ln_f if family == "gpt2" else model.module.norm
        assert torch.allclose(norm(states[-1]), own[-1], atol=1e-5)
        assert not torch.allclose(states[-1], own[-1], atol=1e-2)


@pytest.mark.parametrize("family", FAMILIES)
def test_zeroing_a_head_is_zeroing_its_slice_of_the_output_projection(
    tiny_model, plain_words, family
) -> None:
    model = tiny_model(family)
    batch = batch_of(model, plain_words.texts)
    valid = batch.mask.bool()
    layer, head, width = (0, 2, 8)
    gates = torch.ones(3, 4)
    gates[layer, head] = 0
    if family == "albert":  # one shared module: its slice is that of every layer
        gates[:, head] = 0
    gated = run(model, batch, gate_heads(gates))[valid]
    name = {
        "bert": "encoder.layer.0.attention.output.dense",
        "roberta": "encoder.layer.0.attention.output.dense",
        "electra": "encoder.layer.0.attention.output.dense",
        "ernie": "encoder.layer.0.attention.output.dense",
        "albert": "encoder.albert_layer_groups.0.albert_layers.0.attention.dense",
        "distilbert": "transformer.layer.0.attention.out_lin",
        "gpt2": "h.0.attn.c_proj",
        "llama": "layers.0.self_attn.o_proj",
    }[family]
    weight = model.module.get_submodule(name).weight
    part = slice(head * width, (head + 1) * width)
    with torch.no_grad():
        if family == "gpt2":  # Conv1D stores (in, out)
            weight[part] = 0
        else:
            weight[:, part] = 0
        cut = model.module(**batch.inputs)[0][valid]
    assert torch.allclose(gated, cut, atol=1e-4)
    assert not torch.allclose(gated, run(tiny_model(family), batch)[valid], atol=1e-2)


def test_gates_per_example_and_fill(tiny_model, plain_words) -> None:
    model = tiny_model("bert")
    batch = batch_of(model, plain_words.texts)
    gates = torch.ones(3, 3, 4)
    gates[1, 0, 2] = 0
    mixed, bare = run(model, batch, gate_heads(gates)), run(model, batch)
    assert torch.allclose(mixed[[0, 2]], bare[[0, 2]], atol=1e-5)
    assert not torch.allclose(mixed[1], bare[1], atol=1e-2)
    fill = torch.full((3, 4, 8), 0.7)
    kept = []
    run(model, batch, gate_heads(torch.zeros(3, 4), fill), Hook(observe=kept.append))
    assert all((event.head_output == 0.7).all() for event in kept)


def test_replacing_a_map_by_itself_changes_nothing(tiny_model, plain_words) -> None:
    model = tiny_model("llama")
    batch = batch_of(model, plain_words.texts)
    valid, maps = batch.mask.bool(), captured(model, batch)
    same = run(model, batch, replace_attention(maps))[valid]
    assert torch.allclose(same, run(model, batch)[valid], atol=1e-4)
    flipped = {0: maps[0].flip(1)}
    assert not torch.allclose(run(model, batch, replace_attention(flipped))[valid], same, atol=1e-2)


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_uniform_attention_is_even_over_visible_keys(tiny_model, plain_words, family) -> None:
    model, kept = tiny_model(family), []
    batch = batch_of(model, plain_words.texts)
    chosen = torch.zeros(3, 4, dtype=torch.bool)
    chosen[1, 2] = True
    run(model, batch, uniform_attention(chosen), Hook(observe=kept.append))
    event = kept[1]
    rows = event.attention[:, 2][batch.mask.bool()]
    visible = event.visible[:, 0][batch.mask.bool()]
    assert torch.allclose(rows, visible / visible.sum(-1, keepdim=True))
    # A head that is uniform already is unchanged by making it uniform.
    again = run(model, batch, uniform_attention(chosen), uniform_attention(chosen))
    assert torch.equal(again, run(model, batch, uniform_attention(chosen)))


def state(module):
    hooks = sum(
        len(getattr(part, name))
        for part in module.modules()
        for name in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
    )
    return hooks, module.config._attn_implementation, [part.training for part in module.modules()]


def test_sessions_leave_no_trace_also_after_an_exception_and_nested(
    tiny_model, plain_words
) -> None:
    model = tiny_model("bert")
    batch = batch_of(model, plain_words.texts)
    foreign = model.module.register_forward_hook(lambda *_: None)
    model.module.train()
    before = state(model.module)

    def fail(event):
        raise RuntimeError("in the middle of a forward pass")

    with pytest.raises(RuntimeError, match="in the middle"):
        run(model, batch, Hook(observe=fail))
    assert state(model.module) == before

    outer, inner = [], []
    with torch.no_grad(), hooked(model.module, Hook(observe=outer.append)):
        assert not model.module.training
        with hooked(model.module, Hook(observe=inner.append)):
            model.module(**batch.inputs)
        model.module(**batch.inputs)
    assert (len(outer), len(inner)) == (6, 3)
    assert state(model.module) == before
    foreign.remove()
    with torch.no_grad(), hidden_states(model.module):
        pass
    assert state(model.module)[0] == before[0] - 1


def test_gradient_through_gates_and_attention(tiny_model, plain_words) -> None:
    model = tiny_model("bert")
    batch = batch_of(model, plain_words.texts)
    gates = torch.ones(3, 4, requires_grad=True)
    direction = torch.linspace(-1, 1, 32, dtype=torch.float64)
    kept = []
    with hooked(model.module, gate_heads(gates), Hook(observe=kept.append)):
        loss = (model.module(**batch.inputs)[0][:, 0].double() @ direction).sum()
    attention = kept[1].attention
    of_gates, of_attention = torch.autograd.grad(loss, [gates, attention])
    assert of_attention.shape == attention.shape and of_attention.abs().max() > 0

    def at(step):
        moved = torch.ones(3, 4)
        moved[1, 2] += step
        with torch.no_grad(), hooked(model.module, gate_heads(moved)):
            return (model.module(**batch.inputs)[0][:, 0].double() @ direction).sum()

    slope = (at(1e-2) - at(-1e-2)) / 2e-2
    assert slope.item() == pytest.approx(of_gates[1, 2].item(), rel=2e-2)


def test_models_without_attention_and_other_ways_are_named() -> None:
    sizes = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2}
    fnet = transformers.FNetModel(transformers.FNetConfig(intermediate_size=48, **sizes))
    with pytest.raises(BertologyError, match="FNetModel has no attention"):
        find_sites(fnet)
    mamba = transformers.MambaModel(transformers.MambaConfig(**sizes))
    with pytest.raises(BertologyError, match="MambaModel has no attention"):
        find_sites(mamba)


def test_verify_sees_a_model_whose_edits_do_nothing(tiny_model) -> None:
    model = tiny_model("bert")
    assert all(report.passed for report in verify(model.module))
    with torch.no_grad():
        model.module.encoder.layer[1].attention.output.dense.weight.zero_()
    reports = verify(model.module)
    assert [report.passed for report in reports] == [True, False, True]
    assert "zeroing every head changes nothing" in reports[1].failures[0]


def test_verify_sees_attention_that_is_not_what_the_model_uses(tiny_model, monkeypatch) -> None:
    from bertology.capture.ways import interface

    model = tiny_model("bert")
    own = interface.own_eager

    def lying(kind):
        def attend(*arguments, **options):
            output, attention = own(kind)(*arguments, **options)
            return output, attention.roll(1, dims=-1) * 0.9

        return attend

    monkeypatch.setattr(interface, "own_eager", lying)
    failures = verify(model.module)[0].failures
    assert any("rows sum to 1" in failure for failure in failures)
    assert any("attention x values" in failure for failure in failures)
    with pytest.raises(BertologyError, match="cannot be captured exactly"):
        capture(model, "w1 w2")


def test_capture_returns_arrays_without_padding(tiny_model, plain_words) -> None:
    model = tiny_model("gpt2")
    found = capture(model, plain_words.texts, ("attention", "head_output", "hidden_states"))
    for text, one in zip(plain_words.texts, found, strict=True):
        n = len(text.split())
        assert one.attention.shape == (3, 4, n, n)
        assert one.head_output.shape == (3, n, 4, 8)
        assert one.hidden_states.shape == (4, n, 32)
        np.testing.assert_allclose(one.attention.sum(-1), 1, atol=1e-6)
    (chosen,) = capture(model, "w1 w2 w3", layers=[2])
    (whole,) = capture(model, "w1 w2 w3")
    # The other layers keep the fast kernel, which rounds differently.
    np.testing.assert_allclose(chosen.attention[0], whole.attention[2], atol=1e-5)
    assert chosen.hidden_states is None and chosen.layers == (2,)


def test_capture_refuses_what_it_cannot_do(tiny_model) -> None:
    model = tiny_model("bert")
    with pytest.raises(BertologyError, match="Cannot capture"):
        capture(model, "w1", ("attentions",))
    with pytest.raises(BertologyError, match=r"Layers \[7\] do not exist.*0 to 2"):
        capture(model, "w1", layers=[7])
    with pytest.raises(BertologyError, match="reads at most 40"):
        capture(model, "w1 " * 60)


def test_every_observer_sees_what_the_model_goes_on_with(tiny_model, plain_words) -> None:
    model, seen = tiny_model("bert"), {}
    batch = batch_of(model, plain_words.texts)

    def keep(name: str):
        return lambda event: seen.setdefault(name, event.attention.sum().item())

    def nothing(event) -> torch.Tensor:
        return torch.zeros_like(event.attention)

    first = [
        Hook(observe=keep("rows"), block=10_000, layers=[0]),
        Hook(observe=keep("some"), heads=[1], layers=[0]),
        Hook(observe=keep("whole"), layers=[0]),
        Hook(observe=lambda e: seen.setdefault("output", e.head_output.abs().max().item()),
             attention=False, layers=[0]),
        Hook(edit_attention=nothing, layers=[0]),
    ]  # fmt: skip
    run(model, batch, *first)
    assert seen == {"rows": 0, "some": 0, "whole": 0, "output": 0}
