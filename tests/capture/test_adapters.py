"""Attention that is not one softmax over all keys is captured as one exact map a layer."""

import copy
import sys
from pathlib import Path

import pytest
import torch
import transformers

from bertology import BertologyError
from bertology.capture import Hook, find_sites, hooked, verify

sys.path.insert(0, str(Path(__file__).parent))
from sparse_models import KINDS, SIZES, attention_by_one_hot_values

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


def run(module, inputs, *hooks):
    with torch.no_grad(), hooked(module, *hooks):
        return module(**inputs)[0]


def events_of(module, inputs, **options):
    kept = {}
    run(module, inputs, Hook(observe=lambda e: kept.__setitem__(e.site.module, e), **options))
    return kept


def valid_of(module, inputs):
    """Rows of the model's first output that are no padding."""
    if module.config.is_encoder_decoder:
        return torch.ones(inputs["decoder_input_ids"].shape, dtype=torch.bool)
    return inputs["attention_mask"].bool()


def test_the_proof_passes(kind) -> None:
    module = kind.model()
    reports = verify(module)
    ways = {report.site.module: report.site.way_in for report in reports}
    assert {name for name, way in ways.items() if way == "adapter"} == set(kind.parts(module))
    assert [report.failures for report in reports] == [[]] * len(reports)


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


def trace(module):
    """Everything that a session could leave behind."""
    state = []
    for name, part in module.named_modules():
        hooks = [len(getattr(part, kind)) for kind in ("_forward_hooks", "_forward_pre_hooks")]
        plain = sorted(key for key in vars(part))
        kept = [getattr(part, key, None) for key in ("attention_type", "num_buckets")]
        state.append((name, id(part), hooks, plain, str(kept), part.training))
    return state, module.config.to_dict()


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


def test_longformer_with_a_wide_window_is_ordinary_attention() -> None:
    kind = KINDS["longformer"]
    module = kind.model(attention_window=32)
    inputs = kind.inputs(module)
    event = events_of(module, inputs)["encoder.layer.0.attention.self"]
    part = module.get_submodule(event.site.module)
    with torch.no_grad():
        states = module.embeddings(inputs["input_ids"])
        query, key = (
            linear(states).unflatten(-1, (4, 8)).transpose(1, 2)
            for linear in (part.query, part.key)
        )
        rows = inputs["attention_mask"].bool()
        scores = (query @ key.transpose(-1, -2) / 8**0.5).masked_fill(
            ~rows[:, None, None], -torch.inf
        )
    own = scores.softmax(-1).transpose(1, 2)[rows]
    assert torch.allclose(own, event.attention.transpose(1, 2)[rows], atol=1e-6)


def test_longformer_sees_its_window_and_global_tokens_alone() -> None:
    kind = KINDS["longformer, global tokens"]
    module = kind.model()
    inputs = kind.inputs(module)
    event = events_of(module, inputs)["encoder.layer.0.attention.self"]
    places = torch.arange(11)
    near = (places[:, None] - places).abs() <= 2
    special = inputs["global_attention_mask"].bool()
    mask = inputs["attention_mask"].bool()
    expected = (near | special[:, None] | special[:, :, None]) & mask[:, None]
    assert torch.equal(event.visible[:, 0][mask], expected[mask])


def test_models_that_give_global_attention_by_themselves() -> None:
    config = KINDS["longformer"].config()
    torch.manual_seed(0)
    module = transformers.LongformerForSequenceClassification(config).eval()
    assert all(report.passed for report in verify(module))
    inputs = KINDS["longformer"].inputs(module)
    event = next(iter(events_of(module, inputs).values()))
    assert event.visible[0, 0, 0].all() and event.visible[0, 0, :, 0].all()
    assert not event.visible[0, 0, 3, 8]


@pytest.mark.parametrize("name", ["big bird", "pegasus"])
def test_big_bird_attends_in_its_blocks_alone(name) -> None:
    kind = KINDS[name]
    module = kind.model()
    inputs = kind.inputs(module)
    event = events_of(module, inputs)[kind.parts(module)[0]]
    block = torch.arange(40) // 4
    ends = (block == 0) | (block == 9)
    near = (block[:, None] - block).abs() <= 1
    # Without training the random block is the first, which is seen anyway.
    pattern = (near | ends[:, None] | ends)[:38, :38]
    assert torch.equal(event.visible[0, 0], pattern)
    assert not pattern.all()
    assert event.attention[0][:, ~pattern].abs().max() == 0


@pytest.mark.parametrize("name", ["big bird", "pegasus"])
def test_big_bird_reads_short_and_long_texts_in_any_order(name) -> None:
    kind = KINDS[name]
    module = kind.model()
    long, short = kind.inputs(module), kind.inputs(module, (11, 7, 5))
    with torch.no_grad():
        bare = [copy.deepcopy(module)(**inputs)[0] for inputs in (short, long)]
    before, seen, sees = trace(module), [], []

    def observe(event):
        seen.append(event.attention)
        sees.append(event.visible[0])

    look = Hook(observe=observe, stacks=["encoder"])
    with torch.no_grad(), hooked(module, look):
        outputs = [module(**inputs)[0] for inputs in (short, long, short)]
    assert [one.shape[-1] for one in seen] == [11, 11, 38, 38, 11, 11]
    assert all(one.all() for one in sees[:2]) and not any(one.all() for one in sees[2:4])
    for output, own in zip(outputs, (*bare, bare[0]), strict=True):
        assert torch.allclose(output, own, atol=1e-5)
    assert torch.equal(seen[0], seen[4])
    assert trace(module) == before


def test_big_bird_that_has_changed_to_full_attention_is_still_captured() -> None:
    kind = KINDS["big bird"]
    module = kind.model()
    find_sites(module)
    with torch.no_grad():
        module(**kind.inputs(module, (11, 7, 5)))
    assert module.attention_type == "original_full"
    event = events_of(module, kind.inputs(module))["encoder.layer.0.attention"]
    assert event.visible[0].all()


def test_reformer_without_a_seed_and_a_number_of_buckets() -> None:
    kind = KINDS["reformer, hashed"]
    module = kind.model(hash_seed=None, num_buckets=None)
    inputs, before = kind.inputs(module), trace(module)
    assert all(report.passed for report in verify(module))
    torch.manual_seed(4)
    first = events_of(module, inputs)
    assert trace(module) == before
    torch.manual_seed(4)
    again = events_of(module, inputs)
    other = events_of(module, inputs)
    name = kind.parts(module)[0]
    assert torch.equal(first[name].attention, again[name].attention)
    assert not torch.equal(first[name].attention, other[name].attention)
    for event in other.values():
        product = event.computation.weighed(event.attention)
        assert torch.allclose(product, event.head_output, atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_hashes": 1},
        {"lsh_num_chunks_after": 1},
        {"lsh_attn_chunk_length": 6, "num_buckets": [2, 4]},
        {"lsh_attn_chunk_length": 32},
    ],
    ids=str,
)
def test_reformer_in_other_sizes(changes) -> None:
    kind = KINDS["reformer, hashed"]
    module = kind.model(**changes)
    assert all(report.passed for report in verify(module))
    inputs = kind.inputs(module)
    events = events_of(module, inputs)
    for name in kind.parts(module):
        with torch.no_grad():
            own = attention_by_one_hot_values(kind, module, name, inputs)[:, :, :14, :14]
        assert torch.allclose(own, events[name].attention, atol=1e-6)


def test_reformer_refuses_one_token_at_a_time() -> None:
    kind = KINDS["reformer, hashed, causal"]
    module = kind.model(attn_layers=["local", "lsh"], use_cache=True)
    inputs = kind.inputs(module, (8,))
    with torch.no_grad(), hooked(module, Hook(observe=lambda e: e.attention)):
        past = module(**inputs).past_buckets_states
        with pytest.raises(BertologyError, match="one token at a time"):
            module(inputs["input_ids"][:, :1], past_buckets_states=past)


def test_summaries_are_keys_with_names_of_their_own() -> None:
    kind = KINDS["longt5, summaries"]
    module = kind.model()
    inputs = kind.inputs(module)
    event = events_of(module, inputs)[kind.parts(module)[0]]
    labels = event.site.key_labels(*event.attention.shape[-2:])
    assert labels[:5] == tuple(f"block summary -{place}" for place in range(5, 0, -1))
    assert labels[5:] == tuple(f"token {place}" for place in range(15))
    # The second text has nine tokens: three blocks have a summary that its tokens can see.
    assert event.visible[1, 0, 0, :5].tolist() == [True] * 3 + [False] * 2
    places = torch.arange(15)
    near = (places[:, None] - places).abs() <= 3
    assert torch.equal(event.visible[0, 0, :, 5:], near)
    assert find_sites(KINDS["longt5"].model())[0].memory == ()


def test_canine_looks_through_windows() -> None:
    kind = KINDS["canine"]
    module = kind.model()
    event = events_of(module, kind.inputs(module))[kind.parts(module)[0]]
    window = torch.arange(20) // 8
    assert torch.equal(event.visible[0, 0], window[:, None] == window)
    module.get_submodule(kind.parts(module)[0]).always_attend_to_first_position = True
    with pytest.raises(BertologyError, match="windows that overlap"):
        events_of(module, kind.inputs(module))


def test_an_approximation_is_refused_by_name() -> None:
    sizes = {**SIZES, "max_position_embeddings": 40}

    def model(landmarks):
        config = transformers.NystromformerConfig(
            num_landmarks=landmarks, segment_means_seq_len=6, **sizes
        )
        return transformers.NystromformerModel(config).eval()

    with pytest.raises(BertologyError, match=r"NystromformerSelfAttention.*2 landmarks"):
        find_sites(model(2))
    assert all(report.passed for report in verify(model(6)))
