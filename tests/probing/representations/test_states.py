"""States of words: the means of the model's own hidden states, from a run or from a store."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bertology.capture.store import open_store, write_store
from bertology.corpora import Corpus
from bertology.corpora.text import words_to_sentence
from bertology.errors import BertologyError, CaptureError, CorpusError
from bertology.probing.representations.states import States, states_of_model, states_of_store

# BERT's tokenizer drops the zero-width space.
TEXTS = ("one \u200b tokenization", " ".join(["two"] * 600), "four five !", "six")


def corpus_of(*texts, **annotation) -> Corpus:
    sentences = [
        words_to_sentence(text.split(" "), id=f"s{number}", **annotation)
        for number, text in enumerate(texts)
    ]
    return Corpus("in memory", tuple(sentences), "0" * 64)


def same(one: States, other: States, atol: float = 0.0) -> None:
    assert (one.sentences, one.layers, one.unit) == (other.sentences, other.layers, other.unit)
    np.testing.assert_array_equal(one.word_tokens, other.word_tokens)
    np.testing.assert_array_equal(one.units, other.units)
    np.testing.assert_array_equal(one.offsets, other.offsets)
    assert [name for name, _ in one.skipped] == [name for name, _ in other.skipped]
    for layer in one.layers:
        np.testing.assert_allclose(one.read(layer), other.read(layer), rtol=0, atol=atol)


def test_states_are_the_means_of_the_tokens(demo) -> None:
    found = states_of_model(demo, corpus_of("Embeddings of tokenization !"))
    inputs = demo.tokenizer("Embeddings of tokenization !", return_tensors="pt")
    with torch.no_grad():
        expected = demo.module(**inputs, output_hidden_states=True).hidden_states
    words = inputs.word_ids()
    assert len(words) - 2 > len(set(words)) - 1, "the text must have a word of several tokens"
    assert found.layers == tuple(range(7))
    for layer, state in enumerate(expected):
        by_hand = [state[0, [w == word for w in words]].mean(0).numpy() for word in range(4)]
        assert found.read(layer).dtype == np.float32
        np.testing.assert_allclose(found.read(layer), by_hand, atol=1e-5)


def test_a_batch_equals_singles(tiny_model, plain_words) -> None:
    model = tiny_model("bert")
    together = states_of_model(model, corpus_of(*plain_words.texts))
    for number, text in enumerate(plain_words.texts):
        alone = states_of_model(model, corpus_of(text))
        rows = slice(*together.offsets[number : number + 2])
        for layer in alone.layers:
            np.testing.assert_allclose(together.read(layer)[rows], alone.read(layer), atol=1e-5)


def test_training_mode_does_not_leak_in(tiny_model, plain_words) -> None:
    model = tiny_model("bert")
    expected = states_of_model(model, corpus_of(*plain_words.texts))
    model.module.train()
    same(states_of_model(model, corpus_of(*plain_words.texts)), expected)
    assert model.module.training


def test_words_without_tokens_are_nan_and_long_sentences_skipped(demo) -> None:
    found = states_of_model(demo, corpus_of(*TEXTS))
    assert [sentence.id for sentence in found.sentences] == ["s0", "s2", "s3"]
    assert [name for name, _ in found.skipped] == ["s1"]
    assert found.units.tolist() == [0, 2, 3]
    assert found.offsets.tolist() == [0, 3, 6, 7]
    assert found.word_tokens.tolist() == [1, 0, 2, 1, 1, 1, 1]
    for layer in found.layers:
        assert np.isnan(found.read(layer)).all(axis=1).tolist() == [False, True] + [False] * 5


def test_documents_are_the_units_where_there_are_enough(tiny_model) -> None:
    sentences = tuple(
        words_to_sentence(["w1", "w2"], id=f"s{n}", document=f"d{n // 2}") for n in range(40)
    )
    found = states_of_model(tiny_model("bert"), Corpus("in memory", sentences, "0" * 64), [0])
    assert (found.unit, found.units.tolist()) == ("document", np.repeat(np.arange(20), 2).tolist())


def test_some_layers(tiny_model, plain_words, tmp_path) -> None:
    model, corpus = tiny_model("bert"), corpus_of(*plain_words.texts)
    every, some = states_of_model(model, corpus), states_of_model(model, corpus, [3, 1])
    stored = states_of_store(
        write_store(tmp_path / "store", model, corpus, layers=[3, 1], dtype="float32"), corpus
    )
    for states in (some, stored):
        assert states.layers == (3, 1)
        for layer in (1, 3):
            np.testing.assert_allclose(states.read(layer), every.read(layer), rtol=0, atol=1e-6)
        with pytest.raises(CaptureError, match=r"2"):
            states.read(2)
    with pytest.raises(CaptureError, match=r"no hidden states \[4\]; choose from 0 .* to 3"):
        states_of_model(model, corpus, [4])


def test_nothing_that_fits_is_an_error(tiny_model) -> None:
    with pytest.raises(CorpusError, match="No sentence of in memory fits"):
        states_of_model(tiny_model("bert"), corpus_of(" ".join(["w2"] * 60)))


def test_states_that_are_not_finite_are_refused(tiny_model) -> None:
    model = tiny_model("bert")
    with torch.no_grad():
        model.module.embeddings.word_embeddings.weight.fill_(float("nan"))
    with pytest.raises(BertologyError, match="not finite"):
        states_of_model(model, corpus_of("w1 w2"))


def test_a_store_gives_the_states_of_the_model(demo, sample, tmp_path) -> None:
    corpus = Corpus(
        "both", (*sample.sentences[:12], *corpus_of(*TEXTS).sentences), "0" * 64
    )  # fmt: skip
    model = states_of_model(demo, corpus)
    store = write_store(tmp_path / "store", demo, corpus, dtype="float32")
    same(states_of_store(store, corpus), model, atol=1e-6)
    same(states_of_store(open_store(tmp_path / "store", corpus=corpus), corpus), model, atol=1e-6)


def test_a_narrow_store_is_rounded(demo, tmp_path) -> None:
    corpus = corpus_of(*TEXTS)
    model = states_of_model(demo, corpus)
    narrow = states_of_store(write_store(tmp_path / "store", demo, corpus), corpus)
    for layer in model.layers:
        exact, rounded = model.read(layer), narrow.read(layer)
        assert rounded.dtype == np.float32
        # float16 keeps 11 bits: half a step of 2^-10, and of 2^-24 below its normal numbers.
        np.testing.assert_allclose(rounded, exact, rtol=2**-11 * 1.01, atol=2**-24)
        assert not np.array_equal(rounded, exact, equal_nan=True)


def test_a_layer_is_read_when_it_is_asked_for(demo, tmp_path, monkeypatch) -> None:
    corpus = corpus_of(*TEXTS)
    store = write_store(tmp_path / "store", demo, corpus)
    names: list[str] = []
    split = type(store.shards).split

    def noted(self, name, counts):
        names.append(name)
        return split(self, name, counts)

    monkeypatch.setattr(type(store.shards), "split", noted)
    states = states_of_store(store, corpus)
    states.read(2)
    states.read(5)
    assert names == ["word_tokens", "hidden_states.2", "hidden_states.5"]


def test_a_store_of_another_corpus_is_refused(tiny_model, plain_words, tmp_path) -> None:
    corpus = corpus_of(*plain_words.texts)
    store = write_store(tmp_path / "store", tiny_model("bert"), corpus)
    message = r"was made of in memory \(3 sentences\); in memory \(\d\) has other sentences"
    first = replace(corpus.sentences[0], text="w9" + corpus.sentences[0].text[2:])
    for other in (corpus.first(2), replace(corpus, sentences=(first, *corpus.sentences[1:]))):
        with pytest.raises(CorpusError, match=message):
            states_of_store(store, other)
    # Labels and entities are not what a store is of.
    labelled = tuple(replace(s, label="x", entities=("O",) * len(s)) for s in corpus.sentences)
    states = states_of_store(store, replace(corpus, sentences=labelled))
    assert [sentence.label for sentence in states.sentences] == ["x"] * 3


def test_a_store_without_hidden_states_is_refused(tiny_model, plain_words, tmp_path) -> None:
    corpus = corpus_of(*plain_words.texts)
    store = write_store(tmp_path / "store", tiny_model("bert"), corpus, what=("head_output",))
    with pytest.raises(CaptureError, match="no hidden states but head_output"):
        states_of_store(store, corpus)


def test_sentences_that_cannot_be_told_apart_are_refused(demo, tmp_path) -> None:
    long, short = " ".join(["tokenization"] * 300), " ".join(["word"] * 300)
    twins = tuple(words_to_sentence(text.split(), id="same") for text in (long, short))
    corpus = Corpus("twins", twins, "0" * 64)
    store = write_store(tmp_path / "store", demo, corpus, layers=[0])
    with pytest.raises(
        CorpusError, match="skipped 1 sentences of twins; which ones cannot be told"
    ):
        states_of_store(store, corpus)
    named = replace(corpus, sentences=(replace(twins[0], id="long"), twins[1]))
    states = states_of_store(write_store(tmp_path / "named", demo, named, layers=[0]), named)
    assert [sentence.text for sentence in states.sentences] == [short]
    assert states.skipped[0][0] == "long"
