"""What is particular to each family whose attention is not one softmax over all keys."""

import copy

import numpy as np
import pytest
import torch
import transformers

from bertology import BertologyError
from bertology.capture import Hook, capture, collate, find_sites, hooked, verify
from bertology.corpora import encode
from bertology.corpora.text import text_to_sentence
from bertology.models import LoadedModel
from bertology.probing.heads.scan import scan_batch

from .sparse_models import KINDS, SIZES, attention_by_one_hot_values, events_of, trace


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


def test_captured_texts_keep_the_summaries_they_have(tokenizer_of) -> None:
    module = KINDS["longt5, summaries"].model()
    model = LoadedModel("tiny", module, tokenizer_of(), "encoder")
    texts = ["w1 w2 w3 . w4 w7 w8 w9", "w5", "w3 w4 w6 w7 w8"]
    together = capture(model, texts, ("attention", "value", "head_output"))
    for text, found, summaries in zip(texts, together, (3, 1, 2), strict=True):
        (alone,) = capture(model, text, ("attention", "value", "head_output"))
        part, single = found.part("encoder", "self"), alone.part("encoder", "self")
        assert part.keys[0] == f"block summary -{summaries}"
        assert part.keys[summaries:] == found.encoding.tokens
        np.testing.assert_allclose(part.attention.sum(-1), 1, atol=1e-6)
        product = np.einsum("lhqk,lhkd->lqhd", part.attention, part.value)
        np.testing.assert_allclose(product, part.head_output, atol=1e-5)
        np.testing.assert_allclose(part.attention, single.attention, atol=1e-5)


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


def test_positions_that_are_no_tokens_are_refused_where_tokens_are_asked_for(tokenizer_of) -> None:
    model = LoadedModel("tiny", KINDS["canine"].model(), tokenizer_of(), "encoder")
    (found,) = capture(model, "w1 w2 w3 w4 w5 w6 w7 w8 w9", layers=[0, 3])
    assert found.attention.shape == (2, 4, 11, 11)
    with pytest.raises(BertologyError, match="pools 11 tokens into 2 positions"):
        capture(model, "w1 w2 w3 w4 w5 w6 w7 w8 w9", layers=[1])
    summaries = LoadedModel("tiny", KINDS["longt5, summaries"].model(), tokenizer_of(), "encoder")
    batch = collate([encode(text_to_sentence("w1 w2 w3 w4", id="0"), summaries.tokenizer)], model)
    for one, keys in ((model, 1), (summaries, 8)):
        with pytest.raises(BertologyError, match=f"{keys} keys for 6 tokens"):
            scan_batch(one, batch)
