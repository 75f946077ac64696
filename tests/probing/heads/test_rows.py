"""Row blocks against whole maps, and long texts against a computation over all of them."""

import resource
import weakref

import numpy as np
import pytest
import torch
import transformers

from bertology import BertologyError
from bertology.capture import Hook, capture, collate, hooked
from bertology.corpora import Corpus, encode
from bertology.corpora.text import text_to_sentence
from bertology.models import LoadedModel
from bertology.probing.heads import (
    RowSums,
    TokenFeatures,
    attention_between_words,
    reduce_attention,
    scan_heads,
)
from bertology.probing.heads.rows import BLOCK

TEXTS = ["w1 w2 w3 . w4 w5 w6 , w7 w8", "w5 w6", "w7 w8 w9 !"]


def sums_of(model, block: int) -> RowSums:
    encodings = [encode(text_to_sentence(text, id=text), model.tokenizer) for text in TEXTS]
    batch = collate(encodings, model)
    sums = RowSums(TokenFeatures.of(encodings, batch.mask))
    with torch.no_grad(), hooked(model.module, Hook(observe=sums.observe, block=block)):
        model.module(**batch.inputs)
    return sums


@pytest.mark.parametrize("family", ["bert", "albert", "gpt2", "llama"])
@pytest.mark.parametrize("block", [1, 150, 400])
def test_blocks_add_up_to_the_whole(family: str, block: int, tiny_model) -> None:
    model = tiny_model(family)
    whole, parts = sums_of(model, BLOCK), sums_of(model, block)
    for site, values in whole.values.items():
        assert torch.allclose(parts.values[site], values, atol=2e-5)
        assert torch.allclose(parts.baselines[site], whole.baselines[site], atol=2e-5)


def test_no_more_than_a_block_exists_at_once(tiny_model) -> None:
    model, sizes, seen = tiny_model("llama"), [], []
    ids = torch.arange(8, 40)[None]
    sums = RowSums(TokenFeatures(torch.ones(1, 32), torch.zeros(1, 32, 4)))

    def observe(event) -> None:
        assert all(earlier() is None for earlier in seen), "no block outlives its turn"
        seen.append(weakref.ref(event.attention))
        sizes.append((event.attention.numel(), event.rows, event.keys))
        sums.observe(event)

    hook = Hook(observe=observe, block=512)
    with torch.no_grad(), hooked(model.module, hook):
        model.module(input_ids=ids)
    assert max(size for size, _, _ in sizes) <= 512
    # Four rows of four heads over 32 keys; keys that no row can see are not computed.
    assert [(rows, keys) for _, rows, keys in sizes[:2]] == [
        (slice(0, 4), slice(0, 4)), (slice(4, 8), slice(0, 8))
    ]  # fmt: skip


def test_statistics_of_half_precision_models_are_added_in_single_precision(tiny_model) -> None:
    torch.manual_seed(0)
    n = 600
    scores = torch.randn(1, 2, n, n, dtype=torch.float64) * 3
    exact = scores.softmax(-1)
    features = TokenFeatures(torch.ones(1, n), torch.zeros(1, n, 4))
    visible = torch.ones(1, 1, n, n, dtype=torch.bool)
    half = exact.bfloat16()
    found = reduce_attention(half, visible, features)
    rounded = half.double()
    expected = -torch.xlogy(rounded, rounded).sum((-1, -2))
    # Added in half precision the sum would be off by several units of 600.
    assert torch.allclose(found[..., 0].double(), expected, rtol=1e-5)


def test_distance_with_and_without_looking_ahead() -> None:
    torch.manual_seed(0)
    n = 9
    apart = (torch.arange(n)[:, None] - torch.arange(n)).abs()
    features = TokenFeatures(torch.ones(1, n), torch.zeros(1, n, 4))
    for visible in (torch.ones(n, n).bool(), torch.ones(n, n).tril().bool()):
        attention = torch.rand(n, n).where(visible, 0.0)
        attention = attention / attention.sum(-1, keepdim=True)
        found = reduce_attention(attention[None, None], visible[None, None], features)[0, 0, 7]
        assert found.item() == pytest.approx((attention * apart).sum().item(), rel=1e-5)


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_attention_between_words_of_chosen_heads(family: str, demo, tiny_model) -> None:
    model = demo if family == "bert" else tiny_model("gpt2")
    text = "Unbelievably, the archaeologists reburied it." if model is demo else TEXTS[0]
    captured = capture(model, text)[0]
    heads = [(2, 1), (0, 3), (2, 0)]
    found = attention_between_words(model, text, heads)
    words = captured.encoding.words
    for place, (layer, head) in enumerate(heads):
        expected = np.zeros((words.max() + 1,) * 2)
        for i in range(len(expected)):
            rows = captured.attention[layer, head][words == i]
            for j in range(len(expected)):
                expected[i, j] = rows[:, words == j].sum(1).mean()
        assert np.abs(found[place] - expected).max() < 1e-6
    with pytest.raises(BertologyError, match=r"L9H0.*this model has L0H0 to"):
        attention_between_words(model, text, [(9, 0)])


@pytest.mark.slow
def test_a_book_through_a_llama() -> None:
    """In little memory: one (query, key) matrix of one head alone would be 4 GiB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    long_text(32_768)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # kibibytes


def test_a_chapter_through_a_llama() -> None:
    long_text(1_536)


def long_text(length: int) -> None:
    """Memory stays small, and the last rows are what a plain softmax over all keys gives."""

    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=100, hidden_size=256, intermediate_size=512, num_hidden_layers=4,
        num_attention_heads=8, max_position_embeddings=length, bos_token_id=None,
        eos_token_id=None,
    )  # fmt: skip
    module = transformers.LlamaModel(config).eval()
    ids = torch.randint(100, (1, length))
    sums = RowSums(TokenFeatures(torch.ones(1, length), torch.zeros(1, length, 4)))
    biggest, last = 0, {}

    def observe(event) -> None:
        nonlocal biggest
        biggest = max(biggest, event.attention.numel())
        sums.observe(event)
        if event.rows.stop == length:
            scores = event.query[:, :, -1:] @ event.key.mT * event.query.shape[-1] ** -0.5
            last[event.site] = (scores.softmax(-1) - event.attention[:, :, -1:]).abs().max()

    with torch.no_grad(), hooked(module, Hook(observe=observe, block=BLOCK)):
        module(input_ids=ids, use_cache=False)
    assert biggest <= BLOCK
    assert len(last) == 4 and max(last.values()) < 1e-6
    for site, values in sums.values.items():
        assert values.shape == (1, 8, 20) and bool(values.isfinite().all())
        # A causal row spread evenly over n keys has entropy ln n, and distance (n - 1) / 2.
        n = np.arange(1, length + 1)
        assert sums.baselines[site][0, 0].item() == pytest.approx(np.log(n).sum(), rel=1e-5)
        assert sums.baselines[site][0, 7].item() == pytest.approx(((n - 1) / 2).sum(), rel=1e-5)


def test_the_encoder_of_a_model_with_a_decoder_is_scanned(tokenizer_of) -> None:
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=60, d_model=32, d_kv=8, d_ff=48, num_layers=3, num_decoder_layers=2,
        num_heads=4, decoder_start_token_id=0,
    )  # fmt: skip
    module = transformers.T5ForConditionalGeneration(config).eval()
    model = LoadedModel("tiny t5", module, tokenizer_of("$A [SEP]"), "seq2seq-lm")
    sentence = text_to_sentence(TEXTS[0], id="s")
    scan = scan_heads(model, Corpus("texts", (sentence,), "0"))
    assert scan.statistics.shape == (1, 3, 4, 12)
    maps = capture(model, sentence, stacks=["encoder"])[0].attention
    found = scan.statistics[0, :, :, 6]  # first
    assert np.abs(found - maps[..., 0].mean(-1)).max() < 1e-6


def test_attention_that_is_not_a_number_is_named(tiny_model) -> None:
    model, texts = tiny_model("bert"), ("w1 w2", "w5 w6", "w7")
    corpus = Corpus("texts", tuple(text_to_sentence(text, id=text) for text in texts), "0")
    scan_heads(model, corpus)  # proven while it was sound
    with torch.no_grad():
        row = model.tokenizer("w6").input_ids[1]
        model.module.embeddings.word_embeddings.weight[row] = torch.inf
    message = r"encoder self layer 0.*NaN or infinite.*'w5 w6'"
    with pytest.raises(BertologyError, match=message):
        scan_heads(model, corpus)
    with pytest.raises(BertologyError, match=message):
        attention_between_words(model, "w5 w6", [(0, 1)])
