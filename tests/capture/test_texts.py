"""Selections against the whole capture, and contributions against the projection itself."""

import numpy as np
import pytest
import torch
import transformers

from bertology import BertologyError
from bertology.capture import Hook, capture, hooked, record
from bertology.capture.captured import AT_SITES
from bertology.models import LoadedModel

TEXTS = ["w1 w2 w3 . w4", "w5 w6", "w7 w8 w9"]


def t5(tokenizer) -> LoadedModel:
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=60, d_model=32, d_kv=8, d_ff=48, num_layers=3, num_decoder_layers=2,
        num_heads=4, decoder_start_token_id=0,
    )  # fmt: skip
    module = transformers.T5ForConditionalGeneration(config).eval()
    return LoadedModel("tiny t5", module, tokenizer, "seq2seq-lm")


@pytest.mark.parametrize("family", ["bert", "albert", "gpt2", "llama"])
def test_a_selection_is_a_part_of_the_whole(family: str, tiny_model) -> None:
    model = tiny_model(family)
    model.module.double()  # In single precision products of fewer rows round in another way.
    for whole, some in zip(
        capture(model, TEXTS),
        capture(model, TEXTS, layers=[0, 2], heads=[3, 1], queries=[0, -1]),
        strict=True,
    ):
        part = some.parts[0]
        assert part.heads == (3, 1) and part.layers == (0, 2)
        assert part.queries == (0, len(whole.tokens) - 1)
        expected = whole.attention[[0, 2]][:, [3, 1]][:, :, [0, -1]]
        # Llama takes its softmax in single precision whatever the model has.
        assert np.abs(some.attention - expected).max() < (5e-6 if family == "llama" else 1e-12)


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_every_quantity_is_kept_of_chosen_heads_and_positions(family: str, tiny_model) -> None:
    model = tiny_model(family)
    model.module.double()
    some = capture(model, TEXTS, AT_SITES, layers=[0, 2], heads=[3, 1], queries=[0, -1])
    for whole, one in zip(capture(model, TEXTS, AT_SITES), some, strict=True):
        (every,), (part,) = whole.parts, one.parts
        for name in AT_SITES[1:]:
            expected = getattr(every, name)[[0, 2]]
            if name in ("head_output", "contribution"):
                expected = expected[:, [0, -1]][:, :, [3, 1]]
            else:
                expected = expected[:, [3, 1]]
                expected = expected[:, :, [0, -1]] if name == "query" else expected
            assert getattr(part, name).shape == expected.shape
            np.testing.assert_allclose(getattr(part, name), expected, rtol=1e-5, atol=2e-5)


def test_positions_of_stacks_of_different_length(tokenizer_of) -> None:
    model, targets = t5(tokenizer_of("$A [SEP]")), ["w3", "w5 w6 w1 w2 w4 w8 w9", "w7"]
    for whole, some in zip(
        capture(model, TEXTS, targets=targets),
        capture(model, TEXTS, ("attention", "head_output"), targets=targets, queries=[0, -1]),
        strict=True,
    ):
        for every, part in zip(whole.parts, some.parts, strict=True):
            expected = every.attention[:, :, [0, -1]]
            assert part.head_output.shape[1] == 2
            np.testing.assert_allclose(part.attention, expected, atol=1e-5)


def test_what_is_not_asked_for_is_not_computed(tiny_model) -> None:
    model, formed, seen = tiny_model("llama"), [], []
    inputs = {"input_ids": torch.arange(8, 16)[None]}
    layer = Hook(observe=lambda e: seen.append(e.attention.shape), layers=[1], heads=[0])
    look = Hook(observe=lambda e: formed.append(e.computation.known_attention), attention=False)
    with torch.no_grad():
        before = model.module(**inputs)[0]
        with hooked(model.module, layer, look):
            after = model.module(**inputs)[0]
    assert seen == [(1, 1, 8, 8)]
    assert formed == [None, None, None]
    # The fast kernel stays where heads are looked at beside it.
    assert torch.equal(before, after)


@pytest.mark.parametrize("family", ["bert", "distilbert", "gpt2", "llama"])
def test_contributions_add_up_to_what_the_projection_returns(family: str, tiny_model) -> None:
    model, returned = tiny_model(family), []
    names = {"bert": "attention.output.dense", "distilbert": "out_lin", "gpt2": "attn.c_proj",
             "llama": "o_proj"}  # fmt: skip
    parts = [part for name, part in model.module.named_modules() if name.endswith(names[family])]
    handles = [p.register_forward_hook(lambda m, a, o: returned.append((m, o))) for p in parts]
    found = capture(model, TEXTS[0], ["contribution", "head_output"])[0]
    del returned[: -len(parts)]
    for handle in handles:
        handle.remove()
    assert found.contribution.shape == (3, len(found.tokens), 4, 32)
    for layer, (part, output) in enumerate(returned):
        bias = 0 if part.bias is None else part.bias.detach().numpy()
        added = found.contribution[layer].sum(1) + bias
        assert np.abs(added - output[0].detach().numpy()).max() < 1e-5


def test_contributions_of_xlnet_and_of_convolutions(tiny_model) -> None:
    torch.manual_seed(0)
    xlnet = transformers.XLNetModel(
        transformers.XLNetConfig(vocab_size=60, d_model=32, n_layer=2, n_head=4, d_inner=48)
    ).eval()
    ids = torch.arange(8, 14)[None]
    found = record(xlnet, ids, what=["contribution", "head_output"]).records[0]
    weights = xlnet.layer[0].rel_attn.o.detach().numpy()  # (hidden, head, width)
    expected = np.einsum("bqhw,dhw->bqhd", found.head_output, weights)
    assert np.abs(found.contribution - expected).max() < 1e-6


def test_encoder_and_decoder_and_what_lies_between(tokenizer_of) -> None:
    model = t5(tokenizer_of("$A [SEP]"))
    targets = ["w3 w4", "w5", "w7 w8 w9"]
    batch = capture(model, TEXTS, ("attention", "logits", "contribution"), targets=targets)
    for found, text, target in zip(batch, TEXTS, targets, strict=True):
        n, m = len(found.tokens), len(found.target_tokens)
        assert found.part("encoder").attention.shape == (3, 4, n, n)
        assert found.part("decoder").attention.shape == (2, 4, m, m)
        assert found.part("decoder", "cross").attention.shape == (2, 4, m, n)
        assert found.part("decoder", "cross").keys == found.tokens
        assert found.logits.shape == (m, 60)
        for part in found.parts:
            assert np.allclose(part.attention.sum(-1), 1, atol=1e-5)
        alone = capture(model, text, targets=target)[0]
        for one, other in zip(found.parts, alone.parts, strict=True):
            assert np.abs(one.attention - other.attention).max() < 1e-5
    with pytest.raises(BertologyError, match=r"say which.*\.part\('decoder', 'cross'\)"):
        _ = batch[0].attention
    only = capture(model, TEXTS[0], targets="w3", stacks=["decoder"], kinds=["cross"])[0]
    assert [(part.stack, part.kind) for part in only.parts] == [("decoder", "cross")]
    start = capture(model, TEXTS[0])[0]
    assert start.target_tokens == ("[PAD]",)


def test_queries_and_keys_give_the_attention(tiny_model) -> None:
    found = capture(
        tiny_model("bert"), TEXTS, ("attention", "query", "key", "value", "head_output")
    )
    for one in found:
        part = one.parts[0]
        scores = part.query @ part.key.swapaxes(-1, -2) / np.sqrt(8)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        assert np.abs(weights / weights.sum(-1, keepdims=True) - part.attention).max() < 1e-5
        outputs = (part.attention @ part.value).swapaxes(1, 2)
        assert np.abs(outputs - part.head_output).max() < 1e-5


def test_the_tap_has_no_queries_and_says_so(tiny_model) -> None:
    torch.manual_seed(0)
    sizes = {"vocab_size": 60, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 40}
    module = transformers.OpenAIGPTModel(transformers.OpenAIGPTConfig(**sizes)).eval()
    ids = torch.arange(8, 14)[None]
    found = record(module, ids, what=[name for name in AT_SITES if name not in ("query", "key")])
    assert all(one.contribution is not None for one in found.records)
    with pytest.raises(BertologyError, match="Query and key are not available"):
        record(module, ids, what=["query"])


def test_bad_selections_are_refused_before_any_work(tiny_model, tokenizer_of) -> None:
    bert, gpt2 = tiny_model("bert"), tiny_model("gpt2")
    cases = [
        (bert, {"what": ["weights"]}, "Cannot capture"),
        (bert, {"layers": [3]}, r"Layers \[3\] do not exist; this model has 0 to 2"),
        (bert, {"heads": [4]}, r"Heads \[4\] do not exist; this model has 0 to 3"),
        (bert, {"stacks": ["decoder"]}, r"Stacks \['decoder'\] do not exist"),
        (bert, {"queries": [4]}, r"Positions \[4\] do not exist in 'w5 w6', which has 4 tokens"),
        (bert, {"targets": "w1"}, "no decoder that would read targets"),
        (gpt2, {"what": ["logits"]}, "loaded without a head"),
        (t5(tokenizer_of("$A [SEP]")), {"targets": ["w1"]}, "Got 3 texts and 1 targets"),
    ]
    for model, options, message in cases:
        with pytest.raises(BertologyError, match=message):
            capture(model, TEXTS, **options)


def test_attention_that_is_not_a_number_is_named(tiny_model) -> None:
    model = tiny_model("bert")
    capture(model, TEXTS)  # proven while it was sound
    with torch.no_grad():
        row = model.module.embeddings.word_embeddings.weight[model.tokenizer("w6").input_ids[1]]
        saved = row.clone()
        row.fill_(float("inf"))
        try:
            with pytest.raises(BertologyError, match=r"encoder self layer 0.*NaN.*'w5 w6'"):
                capture(model, TEXTS)
            ids = torch.tensor([model.tokenizer(text).input_ids for text in ("w1 w2", "w5 w6")])
            with pytest.raises(BertologyError, match=r"encoder self layer 0.*NaN in text 1"):
                record(model.module, ids)
        finally:
            row.copy_(saved)
