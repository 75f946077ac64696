"""Shuffled word order: other inputs, the same rows."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bertology.corpora import Corpus
from bertology.corpora.text import words_to_sentence
from bertology.probing.representations.controls import shuffled_states
from bertology.probing.representations.items import items_of
from bertology.probing.representations.states import states_of_model
from bertology.probing.representations.tasks import word_task


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    rng = np.random.default_rng(0)
    lengths = [1, 2, 7, 12, 1, 20, 60, 9]
    sentences = []
    for number, length in enumerate(lengths):
        # The seventh does not fit the tiny models.
        words = [f"w{word}" for word in rng.permutation(52)[:length]]
        words = [*words, *["w0"] * (length - len(words))]
        sentences.append(
            words_to_sentence(words, id=str(number), document=f"d{number // 3}", upos=tuple(words))
        )
    return Corpus("words", tuple(sentences), "hash")


def test_without_positions_the_order_changes_no_row(tiny_model, corpus) -> None:
    """An encoder without positions sees a bag of words: all states are equal, row by row."""
    model = tiny_model("bert")
    with torch.no_grad():
        model.module.embeddings.position_embeddings.weight.zero_()
    plain, shuffled = states_of_model(model, corpus), shuffled_states(model, corpus, seed=0)
    for layer in plain.layers:
        assert shuffled.read(layer) == pytest.approx(plain.read(layer), abs=2e-5)


def test_the_input_of_the_first_block_has_no_order_where_positions_come_later(
    tiny_model, corpus
) -> None:
    model = tiny_model("llama")
    plain, shuffled = states_of_model(model, corpus), shuffled_states(model, corpus, seed=0)
    assert (shuffled.read(0) == plain.read(0)).all()
    assert np.abs(shuffled.read(1) - plain.read(1)).max() > 0.1


def test_the_order_changes_every_state_where_there_are_positions(tiny_model, corpus) -> None:
    model = tiny_model("bert")
    plain, shuffled = states_of_model(model, corpus), shuffled_states(model, corpus, seed=0)
    single = plain.offsets[:-1][np.diff(plain.offsets) == 1]
    assert len(single) == 2
    for layer in plain.layers:
        change = np.abs(shuffled.read(layer) - plain.read(layer)).max(axis=1)
        assert (change[single] < 1e-5).all()  # One word has one order.
        assert (np.delete(change, single) > 1e-3).mean() > 0.7


def test_rows_words_and_tasks_are_those_of_the_corpus(tiny_model, corpus) -> None:
    model = tiny_model("bert")
    plain, shuffled = states_of_model(model, corpus), shuffled_states(model, corpus, seed=0)
    assert shuffled.sentences == plain.sentences and len(plain.sentences) == 7
    assert shuffled.skipped == plain.skipped and shuffled.unit == plain.unit
    assert shuffled.units.tolist() == plain.units.tolist()
    task = word_task("word", lambda sentence: sentence.upos, "words")
    for one, other in zip(
        vars(items_of(task, plain)).values(), vars(items_of(task, shuffled)).values(), strict=True
    ):
        assert np.array_equal(one, other)


def test_words_keep_their_token_counts(demo, sample) -> None:
    """A tokenizer that splits words: counts and the words' own vectors go back to their rows."""
    corpus = replace(sample, sentences=sample.sentences[:20])
    plain, shuffled = states_of_model(demo, corpus, [0]), shuffled_states(demo, corpus, [0], seed=0)
    assert shuffled.word_tokens.tolist() == plain.word_tokens.tolist()
    assert shuffled.layers == (0,) and plain.word_tokens.max() > 2
    # Embeddings are of word and place: the nearest of all rows of the sentence is the same word.
    hits: list[bool] = []
    for start, end, sentence in zip(
        plain.offsets, plain.offsets[1:], plain.sentences, strict=False
    ):
        one, other = plain.read(0)[start:end], shuffled.read(0)[start:end]
        nearest = np.linalg.norm(other[:, None] - one, axis=2).argmin(axis=1)
        hits += [sentence.words[i] == sentence.words[j] for i, j in enumerate(nearest)]
    assert np.mean(hits) > 0.95


def test_the_seed_decides(tiny_model, corpus) -> None:
    model = tiny_model("bert")
    one, again, other = (shuffled_states(model, corpus, [1], seed=s).read(1) for s in (0, 0, 1))
    assert (one == again).all() and np.abs(one - other).max() > 0.1
