"""Attention within the own text of a pair, and segment ids as they are given to the model."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers
from tokenizers import processors

import bertology.probing.heads.collecting as collecting
from bertology import BertologyError
from bertology.capture import capture
from bertology.corpora import Corpus, Sentence, encode
from bertology.corpora.text import text_to_sentence
from bertology.models import LoadedModel
from bertology.probing.heads import STATISTICS, scan_heads
from bertology.probing.heads.options import ScanOptions

PAIRS = [
    ("w1 w2 w3 . w4", "w5 w6 , w7"),
    ("w5 w6", None),
    ("w7 w8 ! w9 w10 w11 w12 w13", "w1"),
    ("w3 .", "w20 w21 w22 w23 ,"),
]
ENGLISH = [
    ("The bus was almost empty .", "A tall man hummed a tune ."),
    ("Is it raining ?", "It has been raining since Monday ."),
]


def corpus_of_pairs(pairs) -> Corpus:
    return Corpus("pairs", tuple(sentence(*pair) for pair in pairs), "0")


def sentence(first: str, second: str | None) -> Sentence:
    pair = None if second is None else text_to_sentence(second, id="second")
    return replace(text_to_sentence(first, id=first), pair=pair)


def roberta_like(tokenizer: transformers.PreTrainedTokenizerFast) -> None:
    """Two separators between the texts, and segment id 0 for both."""
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] [SEP] $B:0 [SEP]:0",
        special_tokens=[
            (name, tokenizer.convert_tokens_to_ids(name)) for name in ("[CLS]", "[SEP]")
        ],
    )


def second_by_words(encoding) -> np.ndarray:
    """(token,), True from the first word of the second text on, by counting words."""
    # These tokenizers make one token of a word; a separator may stand at the end.
    of_second = len(encoding.pair) + int(encoding.added[-1]) if encoding.pair else 0
    return np.arange(len(encoding)) >= len(encoding) - of_second


@pytest.mark.parametrize("block", [None, 150])
@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2"])
def test_weight_in_the_own_text_equals_that_of_whole_maps(
    tiny_model, monkeypatch, family, block
) -> None:
    if block is not None:
        monkeypatch.setattr(collecting, "block_size", lambda device: block)
    model = tiny_model(family)
    if family == "roberta":
        roberta_like(model.tokenizer)
    corpus = corpus_of_pairs(PAIRS)
    scan = scan_heads(model, corpus)
    found = scan.shards.gather("own_segment")
    even = scan.shards.gather("own_segment_baseline")
    for i, one in enumerate(capture(model, list(corpus.sentences))):
        second = second_by_words(one.encoding)
        own = second[:, None] == second
        n = len(second)
        expected = (one.attention.astype(float) * own).sum((-1, -2)) / n
        np.testing.assert_allclose(found[i], expected, atol=1e-5)
        visible = np.tril(np.ones((n, n))) if family == "gpt2" else np.ones((n, n))
        spread = visible / visible.sum(1, keepdims=True)
        np.testing.assert_allclose(even[i], (spread * own).sum() / n, atol=1e-5)
        alone = PAIRS[i][1] is None
        assert (expected > 0.999).all() == alone
        if family == "roberta" and not alone:
            assert not one.encoding.segments.any() and one.encoding.sep.sum() == 3
        if family == "bert" and not alone:
            np.testing.assert_array_equal(one.encoding.segments, second)
    # A text alone is all its own, exactly, whatever it is batched with.
    assert (found[1] == 1).all() and (even[1] == 1).all()


def test_uniform_attention_to_the_own_text(tiny_model) -> None:
    model = tiny_model("bert")
    corpus = corpus_of_pairs(PAIRS)
    kept = scan_heads(model, corpus).shards.gather("own_segment")
    for name, parameter in model.module.named_parameters():
        if ".query." in name:
            parameter.data.zero_()
    found = scan_heads(model, corpus).shards.gather("own_segment")
    # [CLS], five words and [SEP]; four words and [SEP]: 7² + 5² cells of 12².
    np.testing.assert_allclose(found[0], (49 + 25) / 144, rtol=1e-5)
    # With its own queries the same model is well off that.
    assert np.abs(kept[0] - (49 + 25) / 144).max() > 0.05


def eager_maps(model: LoadedModel, text: Sentence, zeros: bool) -> np.ndarray:
    """(layer, head, query, key) by the library's own output of attention."""
    module = copy.deepcopy(model.module)
    module.set_attn_implementation("eager")
    inputs = model.tokenizer(text.text, text.pair.text, return_tensors="pt")
    if zeros:
        inputs["token_type_ids"] = torch.zeros_like(inputs["token_type_ids"])
    with torch.no_grad():
        return torch.cat(module(**inputs, output_attentions=True).attentions).numpy()


@pytest.mark.parametrize("segment_ids", ["tokenizer", "zeros"])
def test_segment_ids_are_those_asked_for(demo, segment_ids) -> None:
    corpus = corpus_of_pairs(ENGLISH)
    found = scan_heads(demo, corpus, options=ScanOptions(segment_ids=segment_ids))
    sep = STATISTICS.index("sep")
    for i, text in enumerate(corpus.sentences):
        encoding = encode(text, demo.tokenizer)
        maps = {zeros: eager_maps(demo, text, zeros) for zeros in (True, False)}
        ours = maps[segment_ids == "zeros"]
        n = len(encoding)
        np.testing.assert_allclose(
            found.statistics[i, ..., sep], ours[..., encoding.sep].sum((-1, -2)) / n, atol=1e-5
        )
        second = np.arange(n) >= encoding.second_from
        own = second[:, None] == second
        np.testing.assert_allclose(
            found.shards.gather("own_segment")[i], (ours * own).sum((-1, -2)) / n, atol=1e-5
        )
        # The other ids give other numbers.
        other = maps[segment_ids != "zeros"]
        assert np.abs((other - ours)[..., encoding.sep].sum((-1, -2)) / n).max() > 0.01


def test_zeros_change_nothing_where_all_ids_are_zero(demo) -> None:
    alone = corpus_of_pairs([(first, None) for first, _ in ENGLISH])
    as_given = scan_heads(demo, alone).statistics
    zeros = scan_heads(demo, alone, options=ScanOptions(segment_ids="zeros")).statistics
    np.testing.assert_array_equal(as_given, zeros)
    with pytest.raises(BertologyError, match="'ones'; it must be one of tokenizer, zeros"):
        ScanOptions(segment_ids="ones")
