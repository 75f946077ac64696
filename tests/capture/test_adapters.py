"""Attention that is not one softmax over all keys is captured as one exact map a layer."""

import copy

import pytest
import torch

from bertology import BertologyError
from bertology.capture import Hook, find_sites, hooked, verify

from .sparse_models import (
    KINDS,
    attention_by_one_hot_values,
    events_of,
    run,
    trace,
    valid_of,
)

NAMES = list(KINDS)
#: Where the models themselves give a text the same output alone and in a batch. Elsewhere the
#: last blocks see first and last block of the padded text, or hashes sort padding in between.
STEADY = {
    "longformer", "longformer, global tokens", "led", "led, global tokens", "longt5",
    "longt5, summaries", "reformer, local, causal", "big bird, short",
}  # fmt: skip


@pytest.fixture(params=NAMES)
def kind(request):
    return KINDS[request.param]


@pytest.fixture(params=NAMES)
def named_kind(request):
    return request.param, KINDS[request.param]


def test_the_proof_passes(kind) -> None:
    module = kind.model()
    reports = verify(module)
    ways = {report.site.module: report.site.way_in for report in reports}
    assert {name for name, way in ways.items() if way == "adapter"} == set(kind.parts(module))
    assert [report.failures for report in reports] == [[]] * len(reports)


@pytest.mark.parametrize("name", ["longformer", "reformer, hashed", "big bird", "longt5"])
def test_the_proof_passes_in_half_precision(name) -> None:
    module = KINDS[name].model().to(torch.bfloat16)
    assert all(report.passed for report in verify(module))
    event = next(iter(events_of(module, KINDS[name].inputs(module)).values()))
    assert event.attention.dtype == torch.bfloat16


def test_equal_to_what_the_module_gives_to_one_hot_values(kind) -> None:
    module = kind.model()
    inputs = kind.inputs(module)
    events, valid = events_of(module, inputs), inputs["attention_mask"].bool()
    length = valid.shape[1]
    for name in kind.parts(module):
        attention = events[name].attention
        with torch.no_grad():
            own = attention_by_one_hot_values(kind, module, name, inputs)
        extra = attention.shape[-1] - length
        own = torch.cat([own[..., own.shape[-1] - extra :], own[..., :length]], dim=-1)
        own = own[:, :, :length]
        assert own.shape == attention.shape
        assert torch.allclose(own.transpose(1, 2)[valid], attention.transpose(1, 2)[valid],
                              atol=1e-6)  # fmt: skip
        assert attention.max() > 0.5  # far from even: the comparison means something


def test_the_laws_of_attention(named_kind) -> None:
    name, kind = named_kind
    module = kind.model()
    inputs = kind.inputs(module)
    valid = inputs["attention_mask"].bool()
    # A row that sees only itself has a score of -1e5, beside which float32 resolves 0.008.
    tolerance = 1e-2 if name == "reformer, hashed, causal" else 1e-6
    for event in (events_of(module, inputs)[part] for part in kind.parts(module)):
        attention, visible = event.attention, event.visible
        sums = attention.sum(-1).transpose(1, 2)[valid]
        assert torch.allclose(sums, torch.ones(1), atol=tolerance)
        if kind.is_global:
            with pytest.raises(BertologyError, match="no one tensor of values"):
                _ = event.value
            product = event.computation.weighed(attention)
        else:
            product = torch.einsum("bhqk,bhkd->bqhd", attention, event.value)
        assert torch.allclose(product[valid], event.head_output[valid], atol=1e-5)
        extra = attention.shape[-1] - attention.shape[-2]
        assert visible.shape == (*attention.shape[:1], 1, *attention.shape[2:])
        assert (attention * ~visible).transpose(1, 2)[valid].max() == 0
        seen = visible[..., extra:].transpose(1, 2)[valid].squeeze(1)
        assert not (seen & ~valid.repeat_interleave(valid.sum(1), 0)).any()
        if "causal" in name:
            assert event.site.stack == "decoder"
            assert not visible[..., extra:].triu(1).transpose(1, 2)[valid].any()


def test_outputs_are_what_they_were(kind) -> None:
    module = kind.model()
    inputs = kind.inputs(module)
    with torch.no_grad():
        # A copy, as some models change when they read short texts.
        bare = copy.deepcopy(module)(**inputs)[0]
    valid = valid_of(module, inputs)
    assert torch.equal(run(module, inputs, Hook(observe=lambda e: e.head_output, attention=False,
                                                stacks=None))[valid], bare[valid])  # fmt: skip
    seen = run(module, inputs, Hook(observe=lambda e: e.attention))
    assert torch.allclose(seen[valid], bare[valid], atol=1e-5)


def test_zeroing_a_head_is_zeroing_its_slice_of_the_output_projection(kind) -> None:
    module = kind.model()
    inputs = kind.inputs(module)
    valid = valid_of(module, inputs)
    name, head, width = kind.parts(module)[1:2] or kind.parts(module), 2, 8

    def zero(event):
        output = event.head_output.clone()
        if event.site.module == name[0]:
            output[:, :, head] = 0
        return output

    bare, gated = run(module, inputs), run(module, inputs, Hook(edit_output=zero))
    around = name[0].rpartition(".")[0] if kind.out.startswith("../") else name[0]
    with torch.no_grad():
        projection = module.get_submodule(f"{around}.{kind.out.removeprefix('../')}")
        projection.weight[:, head * width : (head + 1) * width] = 0
    cut = run(module, inputs)
    assert torch.allclose(gated[valid], cut[valid], atol=1e-5)
    assert not torch.allclose(gated[valid], bare[valid], atol=1e-2)


def test_edits_of_attention_reach_the_model(kind) -> None:
    module = kind.model()
    inputs = kind.inputs(module)
    valid, parts = valid_of(module, inputs), kind.parts(module)
    same = Hook(edit_attention=lambda e: e.attention.clone())
    bare = run(module, inputs)
    assert torch.allclose(run(module, inputs, same)[valid], bare[valid], atol=1e-4)
    kept = {}

    def evenly(event):
        visible = event.visible.to(event.attention.dtype).expand_as(event.attention)
        return visible / visible.sum(-1, keepdim=True).clamp(min=1)

    look = Hook(observe=lambda e: kept.__setitem__(e.site.module, e))
    uniform = run(module, inputs, Hook(edit_attention=evenly), look)
    assert not torch.allclose(uniform[valid], bare[valid], atol=1e-2)
    event = kept[parts[0]]
    even = event.visible / event.visible.sum(-1, keepdim=True).clamp(min=1)
    rows = inputs["attention_mask"].bool()
    assert torch.allclose(event.attention[:, 1][rows], even[:, 0][rows], atol=1e-6)
    product = event.computation.weighed(event.attention)
    assert torch.equal(product, event.head_output)


def test_a_text_in_a_batch_is_the_text_alone_where_the_model_holds_to_it(named_kind) -> None:
    name, kind = named_kind
    module = kind.model()
    inputs = kind.inputs(module)
    together, output = events_of(module, inputs), run(module, inputs)
    steady = True
    for row, length in enumerate(kind.lengths):
        single = {key: value[row : row + 1] for key, value in inputs.items()}
        for key in set(single) - {"decoder_input_ids"}:
            single[key] = single[key][:, :length]
        if name in ("big bird", "pegasus") and length <= 28:
            continue  # too short for blocks: full attention
        alone = run(module, single)
        shown = output[row : row + 1, : alone.shape[1]]
        steady = steady and torch.allclose(alone, shown, atol=1e-4)
        if name not in STEADY:
            continue
        for part, event in events_of(module, single).items():
            if part in kind.parts(module):
                mine, extra = together[part].attention, event.attention.shape[-1] - length
                offset = mine.shape[-1] - mine.shape[-2]
                other = mine[row, :, :length, offset : offset + length]
                assert torch.allclose(event.attention[0, ..., extra:], other, atol=1e-5)
    assert steady == (name in STEADY)


def test_sessions_leave_no_trace_also_after_an_exception(kind) -> None:
    module = kind.model()
    find_sites(module)
    inputs, before = kind.inputs(module), trace(module)
    run(module, inputs, Hook(observe=lambda e: e.attention))
    assert trace(module) == before

    def fail(*_):
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        run(module, inputs, Hook(observe=fail))
    assert trace(module) == before
    part = module.get_submodule(kind.parts(module)[0])
    handle = part.get_submodule(kind.values[0]).register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        run(module, inputs, Hook(observe=lambda e: e.attention))
    handle.remove()
    assert trace(module) == before
    assert len(torch.overrides._get_current_function_mode_stack()) == 0
    assert events_of(module, inputs)


def test_nested_sessions_hear_the_same(kind) -> None:
    module = kind.model()
    inputs, outer, inner = kind.inputs(module), [], []
    with torch.no_grad(), hooked(module, Hook(observe=lambda e: outer.append(e.attention))):
        with hooked(module, Hook(observe=lambda e: inner.append(e.attention))):
            module(**inputs)
        module(**inputs)
    count = len(find_sites(module))
    assert (len(outer), len(inner)) == (2 * count, count)
    for one, other in zip(outer[:count], inner, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", [name for name in NAMES if "reformer" not in name])
def test_gradients_of_attention_are_those_of_the_same_attention_put_in(name) -> None:
    kind = KINDS[name]
    module = kind.model()
    inputs, part = kind.inputs(module), kind.parts(module)[-1]
    valid, kept = valid_of(module, inputs), {}

    def loss():
        output = module(**inputs)[0][valid]
        return (output * torch.linspace(-1, 1, output.shape[-1])).sum()

    with hooked(module, Hook(observe=lambda e: kept.__setitem__(e.site.module, e.attention))):
        (own,) = torch.autograd.grad(loss(), [kept[part]])
    leaf = kept[part].detach().requires_grad_()

    def put(event):
        return leaf if event.site.module == part else event.attention

    with hooked(module, Hook(edit_attention=put)):
        (of_leaf,) = torch.autograd.grad(loss(), [leaf])
    rows = inputs["attention_mask"].bool()
    assert own.abs().max() > 1e-3
    assert torch.allclose(own.transpose(1, 2)[rows], of_leaf.transpose(1, 2)[rows], atol=1e-3)
    gates = torch.ones(4, 1, requires_grad=True)

    def gate(event):
        return event.head_output * (gates if event.site.module == part else 1)

    with hooked(module, Hook(edit_output=gate)):
        (of_gates,) = torch.autograd.grad(loss(), [gates])
    assert of_gates.abs().min() > 0
