"""Probabilities of sentences: known ones, and those of a loop over single sentences."""

import numpy as np
import pytest
import torch
import transformers

from bertology import BertologyError
from bertology.capture import collate
from bertology.corpora import encode
from bertology.corpora.text import text_to_sentence
from bertology.errors import CaptureError, ModelError
from bertology.models import LoadedModel
from bertology.probing.representations.minimal_pairs import masked, next_token
from bertology.probing.representations.minimal_pairs import sentence_log_probabilities as score

MASKED = ("bert", "roberta", "albert", "distilbert", "electra")
CAUSAL = ("gpt2", "llama")


def some_texts(seed=0, number=40):
    rng = np.random.default_rng(seed)
    return [
        " ".join(f"w{w}" for w in rng.integers(0, 52, rng.integers(2, 15))) + " ."
        for _ in range(number)
    ]


def causal_loop(model, text, start=()):
    """The sum over tokens of log p(token | all before), one sentence and token at a time."""
    ids = [*start, *model.tokenizer(text, add_special_tokens=False).input_ids]
    total = 0.0
    with torch.no_grad():
        for place in range(1, len(ids)):
            logits = model.module(torch.tensor([ids[:place]])).logits[0, -1]
            total += torch.log_softmax(logits.double(), 0)[ids[place]].item()
    return total


def masked_loop(model, text, *, within_word):
    """The sum over tokens of log p(token | the others), words being the pre-tokenizer's."""
    encoding = model.tokenizer(text)
    ids, words = encoding.input_ids, encoding.word_ids()
    total = 0.0
    for place, word in enumerate(words):
        if word is None:
            continue
        hidden = list(ids)
        hidden[place] = model.tokenizer.mask_token_id
        for later in range(place + 1, len(ids)):
            if within_word and words[later] == word:
                hidden[later] = model.tokenizer.mask_token_id
        with torch.no_grad():
            logits = model.module(torch.tensor([hidden])).logits[0, place]
        total += torch.log_softmax(logits.double(), 0)[ids[place]].item()
    return total


@pytest.fixture(scope="module")
def pieces(demo):
    """A masked model of real word pieces, with random weights."""
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(demo.tokenizer), hidden_size=16, num_hidden_layers=2,
        num_attention_heads=2, intermediate_size=16, max_position_embeddings=64,
    )  # fmt: skip
    module = transformers.BertForMaskedLM(config).eval()
    for parameter in module.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.35)
    return LoadedModel("pieces", module, demo.tokenizer, "masked-lm")


@pytest.mark.parametrize("family", CAUSAL)
def test_causal_sums_are_those_of_a_loop(tiny_model, family):
    model, texts = tiny_model(family, "causal-lm"), some_texts(number=12)
    scores = score(model, texts)
    expected = [causal_loop(model, text) for text in texts]
    np.testing.assert_allclose(scores.log_probabilities, expected, rtol=1e-4)
    assert scores.tokens.tolist() == [len(text.split()) - 1 for text in texts]
    assert scores.characters.tolist() == [len(text) for text in texts]
    assert np.std(expected) > 1


@pytest.mark.parametrize("family", MASKED)
def test_masked_sums_are_those_of_a_loop(tiny_model, family):
    model, texts = tiny_model(family, "masked-lm"), some_texts(number=12)
    scores = score(model, texts)
    expected = [masked_loop(model, text, within_word=True) for text in texts]
    np.testing.assert_allclose(scores.log_probabilities, expected, rtol=1e-4)
    assert scores.tokens.tolist() == [len(text.split()) for text in texts]


def test_later_tokens_of_the_word_are_masked_too_or_not(pieces):
    texts = [
        "The unbelievably embittered bakeries didn't reopen, alas.",
        "Antidisestablishmentarianism (so-called) persists.",
        "She sleeps.",
    ]
    for masking in ("within_word", "token"):
        expected = [masked_loop(pieces, t, within_word=masking == "within_word") for t in texts]
        found = score(pieces, texts, masking=masking).log_probabilities
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    first, second = (score(pieces, texts, masking=m).log_probabilities
                     for m in ("within_word", "token"))  # fmt: skip
    assert (abs(first - second)[:2] > 0.01).all()
    assert first[2] == pytest.approx(second[2])  # No word of several pieces.


def test_what_is_masked_for_each_token(demo):
    encoding = encode(text_to_sentence("An embittered man's", id=""), demo.tokenizer)
    assert encoding.tokens == ("[CLS]", "an", "em", "##bit", "##tered", "man", "'", "s", "[SEP]")
    assert masked.gaps_of(encoding, within_word=True) == [
        (1, 2), (2, 5), (3, 5), (4, 5), (5, 6), (6, 7), (7, 8)
    ]  # fmt: skip
    assert masked.gaps_of(encoding, within_word=False) == [(i, i + 1) for i in range(1, 8)]


def test_probabilities_of_bigrams_add_up(bigrams):
    rng = np.random.default_rng(0)
    table = rng.dirichlet(np.ones(60), 60)
    model = bigrams(table)
    found = score(model, ["w1 w2 w3", "w3 w2", "w1 w1 w1 w1"]).log_probabilities
    p = table[8:, 8:]
    expected = [p[1, 2] * p[2, 3], p[3, 2], p[1, 1] ** 3]
    np.testing.assert_allclose(np.exp(found), expected, rtol=1e-5)


def test_a_model_that_knows_nothing_gives_every_token_one_in_sixty(tiny_model):
    for family, task in (("llama", "causal-lm"), ("bert", "masked-lm")):
        model = tiny_model(family, task)
        head = model.module.get_output_embeddings()
        torch.nn.init.zeros_(head.weight)
        scores = score(model, some_texts())
        np.testing.assert_allclose(scores.log_probabilities, -scores.tokens * np.log(60), rtol=1e-6)
        np.testing.assert_allclose(scores.normalised("token"), -np.log(60), rtol=1e-6)
        np.testing.assert_allclose(
            scores.normalised("character"), scores.log_probabilities / scores.characters
        )


def test_a_masked_model_of_word_frequencies(tiny_model):
    model = tiny_model("bert", "masked-lm")
    shares = np.random.default_rng(0).dirichlet(np.ones(60))
    head = model.module.get_output_embeddings()
    torch.nn.init.zeros_(head.weight)
    head.bias.data = torch.tensor(np.log(shares), dtype=torch.float32)
    found = score(model, ["w1 w2 w3", "w5"]).log_probabilities
    np.testing.assert_allclose(
        found, [np.log(shares[[9, 10, 11]]).sum(), np.log(shares[13])], rtol=1e-6
    )


def test_the_first_token_counts_behind_a_start_token_only(tiny_model, tokenizer_of):
    model, text = tiny_model("gpt2", "causal-lm"), "w5 w6 w7"
    bare = score(model, [text, "w5"])
    assert bare.tokens.tolist() == [2, 0]
    assert np.isnan(bare.log_probabilities[1])
    assert bare.skipped == {"w5": "it is a single token, which nothing predicts"}
    started = LoadedModel("x", model.module, tokenizer_of("$A"), "causal-lm")
    started.tokenizer.bos_token = "[CLS]"
    behind = score(started, [text, "w5"])
    assert behind.tokens.tolist() == [3, 1]
    expected = [causal_loop(model, one, start=[2]) for one in (text, "w5")]
    np.testing.assert_allclose(behind.log_probabilities, expected, rtol=1e-5)
    # One that the tokenizer puts there itself is not doubled, and what it adds behind not scored.
    own = LoadedModel("x", model.module, tokenizer_of("[CLS] $A [SEP]"), "causal-lm")
    own.tokenizer.bos_token = "[CLS]"
    np.testing.assert_allclose(score(own, [text, "w5"]).log_probabilities, expected, rtol=1e-5)
    assert score(own, [text]).tokens.tolist() == [3]


@pytest.mark.parametrize("side", ["right", "left"])
def test_padding_on_either_side_changes_nothing(tiny_model, side):
    texts = [text_to_sentence(text, id=text) for text in ("w1 w2 w3 w4 w5 w6", "w7 w8", "w9 . w2")]
    for family in CAUSAL:
        model = tiny_model(family, "causal-lm")
        encodings = [encode(text, model.tokenizer) for text in texts]
        together = next_token.batch_sums(model, collate(encodings, model, side=side))
        alone = [next_token.batch_sums(model, collate([e], model))[0] for e in encodings]
        np.testing.assert_allclose(together, alone, rtol=1e-4)
    for family in ("bert", "roberta"):
        model = tiny_model(family, "masked-lm")
        encodings = [encode(text, model.tokenizer) for text in texts]
        asked = [3, 1, 2], [9, 10, 11]
        batch = collate(encodings, model, side=side)
        together = masked.batch_log_probabilities(model, batch, *asked)
        alone = [
            masked.batch_log_probabilities(model, collate([e], model), [position], [token])[0]
            for e, position, token in zip(encodings, *asked, strict=True)
        ]
        np.testing.assert_allclose(together, alone, rtol=1e-4)


def test_order_and_company_change_nothing(tiny_model):
    texts = some_texts()
    for family, task in (("gpt2", "causal-lm"), ("bert", "masked-lm")):
        model = tiny_model(family, task)
        forward, back = score(model, texts), score(model, texts[::-1] + texts[:3])
        np.testing.assert_allclose(
            forward.log_probabilities, back.log_probabilities[:40][::-1], rtol=1e-4
        )
        # Equal sentences are scored once, so that they tie.
        np.testing.assert_array_equal(back.log_probabilities[40:], back.log_probabilities[39:36:-1])


def test_texts_that_do_not_fit_are_named(tiny_model, tokenizer_of):
    long, longest = " ".join(["w1"] * 40), " ".join(["w1"] * 41)
    model = tiny_model("gpt2", "causal-lm")
    scores = score(model, [long, longest, "w1 w2"])
    assert list(scores.skipped.items()) == [(longest, "41 tokens, the model reads at most 40")]
    assert np.isnan(scores.log_probabilities).tolist() == [False, True, False]
    model.tokenizer.bos_token = "[CLS]"
    assert list(score(model, [long, longest, "w1 w2"]).skipped) == [long, longest]


def test_the_head_reads_the_wanted_positions_only_and_is_left_as_it_was(tiny_model):
    model = tiny_model("bert", "masked-lm")
    score(model, ["w1"])  # Whether padding is read is looked up once, by passes of its own.
    head, widths = model.module.get_output_embeddings(), []
    handle = head.register_forward_hook(lambda part, given, out: widths.append(out.shape[1]))
    score(model, some_texts())
    handle.remove()
    assert set(widths) == {1}
    assert not head._forward_pre_hooks
    before = model.module.cls.predictions.transform.register_forward_hook(_fail)
    with pytest.raises(ZeroDivisionError):
        score(model, ["w1 w2"])
    before.remove()
    assert not head._forward_pre_hooks


def _fail(*_):
    raise ZeroDivisionError


def test_batches_that_do_not_fit_in_memory_are_halved(tiny_model, monkeypatch):
    for family, task in (("gpt2", "causal-lm"), ("bert", "masked-lm")):
        model, texts = tiny_model(family, task), some_texts(number=12)
        whole = score(model, texts).log_probabilities
        forward, sizes = model.module.forward, []

        def small_only(*args, forward=forward, sizes=sizes, **named):
            sizes.append(len(named["input_ids"]))
            if sizes[-1] > 3:
                raise RuntimeError("DefaultCPUAllocator: not enough memory")
            return forward(*args, **named)

        monkeypatch.setattr(model.module, "forward", small_only)
        np.testing.assert_allclose(score(model, texts).log_probabilities, whole, rtol=1e-4)
        assert max(sizes) > 3


@pytest.mark.parametrize("task", ["encoder", "classification", "seq2seq-lm"])
def test_models_without_probabilities_are_shown_the_way(tiny_model, task):
    model = tiny_model("bert")
    with pytest.raises(ModelError, match=f"loaded as '{task}'.*acceptability_probes"):
        score(LoadedModel("m", model.module, model.tokenizer, task), ["w1 w2"])


def test_other_models_and_options_that_cannot_be_used(tiny_model, tokenizer_of):
    with pytest.raises(ModelError, match="changes what it predicts for the tokens before"):
        score(tiny_model("bert", "causal-lm"), ["w1 w2 w3"])
    bert = tiny_model("bert", "masked-lm")
    with pytest.raises(ModelError, match="no mask token"):
        score(LoadedModel("m", bert.module, tokenizer_of("$A"), "masked-lm"), ["w1"])
    with pytest.raises(BertologyError, match="choose one of within_word, token"):
        score(bert, ["w1"], masking="word")
    bert.module.bert.embeddings.word_embeddings.weight.data[9] = float("nan")
    with pytest.raises(CaptureError, match="not finite"):
        score(bert, ["w1 w2"])
