"""Word features are the means of the model's own hidden states over each word's tokens."""

import numpy as np
import pytest
import torch

from bertology import BertologyError
from bertology.corpora import Corpus
from bertology.corpora.text import words_to_sentence
from bertology.errors import CorpusError
from bertology.probing.representations import word_states


def corpus_of(*texts, **annotation):
    sentences = [
        words_to_sentence(text.split(" "), id=f"s{number}", **annotation)
        for number, text in enumerate(texts)
    ]
    return Corpus("in memory", tuple(sentences), "0" * 64)


def test_states_are_the_means_of_the_tokens(demo):
    found = word_states(demo, corpus_of("Embeddings of tokenization !"))
    inputs = demo.tokenizer("Embeddings of tokenization !", return_tensors="pt")
    with torch.no_grad():
        expected = demo.module(**inputs, output_hidden_states=True).hidden_states
    words = [word for word in inputs.word_ids() if word is not None]
    assert len(words) > len(set(words)), "the text must have a word of several tokens"
    by_hand = np.stack([
        [state[0, [t for t, w in enumerate(inputs.word_ids()) if w == word]].mean(0).numpy()
         for word in range(4)]
        for state in expected
    ])  # fmt: skip
    assert found.states.shape == (7, 4, 384)
    assert found.states.dtype == np.float32
    np.testing.assert_allclose(found.states, by_hand, atol=1e-5)


def test_a_batch_equals_singles(tiny_model, plain_words):
    model = tiny_model("bert")
    together = word_states(model, corpus_of(*plain_words.texts))
    apart = [word_states(model, corpus_of(text)).states for text in plain_words.texts]
    np.testing.assert_allclose(together.states, np.concatenate(apart, axis=1), atol=1e-5)
    assert together.words == tuple(" ".join(plain_words.texts).split())


def test_training_mode_does_not_leak_in(tiny_model, plain_words):
    model = tiny_model("bert")
    expected = word_states(model, corpus_of(*plain_words.texts)).states
    model.module.train()
    found = word_states(model, corpus_of(*plain_words.texts)).states
    assert model.module.training
    np.testing.assert_array_equal(found, expected)


def test_words_without_tokens_and_long_sentences_are_left_out_and_counted(demo):
    # BERT's tokenizer drops the zero-width space.
    texts = "one \u200b three", " ".join(["two"] * 600), "four five"
    sentences = tuple(
        words_to_sentence(text.split(" "), id=f"s{n}", upos=tuple(f"{w}!" for w in text.split(" ")))
        for n, text in enumerate(texts)
    )
    found = word_states(demo, Corpus("in memory", sentences, "0" * 64))
    assert found.words == ("one", "three", "four", "five")
    assert found.labels["upos"].tolist() == ["one!", "three!", "four!", "five!"]
    assert found.sentences.tolist() == [0, 0, 2, 2]
    assert found.units.tolist() == [0, 0, 2, 2]
    assert found.states.shape[1] == 4
    assert found.without_tokens == 1
    assert [sentence for sentence, _ in found.skipped] == ["s1"]
    assert "deprel" not in found.labels


def test_documents_are_the_units_where_there_are_enough(tiny_model):
    sentences = tuple(
        words_to_sentence(["w1", "w2"], id=f"s{n}", document=f"d{n // 2}") for n in range(40)
    )
    found = word_states(tiny_model("bert"), Corpus("in memory", sentences, "0" * 64))
    assert found.units.tolist() == np.repeat(np.arange(20), 4).tolist()


def test_nothing_that_fits_is_an_error(tiny_model):
    with pytest.raises(CorpusError, match="No sentence of in memory fits"):
        word_states(tiny_model("bert"), corpus_of(" ".join(["w2"] * 60)))


def test_states_that_are_not_finite_are_refused(tiny_model):
    model = tiny_model("bert")
    with torch.no_grad():
        model.module.embeddings.word_embeddings.weight.fill_(float("nan"))
    with pytest.raises(BertologyError, match="not finite"):
        word_states(model, corpus_of("w1 w2"))
