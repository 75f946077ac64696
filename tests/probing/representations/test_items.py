"""Items of a task over a corpus, and the features of their spans."""

import numpy as np
import pytest

from bertology.corpora.text import words_to_sentence
from bertology.errors import BertologyError, CorpusError
from bertology.probing.representations.items import items_of, padded, pooled
from bertology.probing.representations.states import States
from bertology.probing.representations.tasks import Item, Task, sentence_task, word_task

SENTENCES = (
    words_to_sentence(["a", "b", "c"], id="s0"),
    words_to_sentence(["d"], id="s1"),
    words_to_sentence(["e", "b", "f", "g"], id="s2"),
)


def states(*, without: tuple[int, ...] = ()) -> States:
    hidden = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
    hidden[list(without)] = np.nan
    tokens = np.array([0 if word in without else 1 for word in range(8)])
    return States(
        SENTENCES, (0,), lambda layer: hidden, tokens, np.array([0, 4, 7]), "sentence", ()
    )


def spans_task(*spans, level="pair") -> Task:
    """The same spans, as far as they fit, of every sentence of 3 words and more."""
    return Task("mine", level, lambda s: [Item(spans, s.id)] if len(s) > 2 else [], "three words")


LETTERS = word_task("letters", lambda s: [w if w != "g" else "_" for w in s.words], "words")


def test_every_field_of_items() -> None:
    items = items_of(LETTERS, states())
    assert items.spans.tolist() == [[[row, row + 1]] for row in range(7)]
    assert items.labels.tolist() == items.types.tolist() == ["a", "b", "c", "d", "e", "b", "f"]
    assert items.sentences.tolist() == [0, 0, 0, 1, 2, 2, 2]
    assert items.units.tolist() == [0, 0, 0, 4, 7, 7, 7]
    assert (items.task, items.without_tokens, len(items)) == ("letters", 0, 7)


def test_some_of_the_items() -> None:
    items = items_of(LETTERS, states())
    some = items[items.labels == "b"]
    assert (some.spans.tolist(), some.units.tolist()) == ([[[1, 2]], [[5, 6]]], [0, 7])
    assert items[np.array([1, 5])].spans.tolist() == some.spans.tolist()


def test_items_with_a_word_without_tokens_are_left_out_and_counted() -> None:
    items = items_of(LETTERS, states(without=(1, 7)))
    assert (items.labels.tolist(), items.without_tokens) == (["a", "c", "d", "e", "b", "f"], 1)
    pairs = items_of(spans_task((0, 2), (2, 3)), states(without=(6,)))
    assert (pairs.labels.tolist(), pairs.without_tokens) == (["s0"], 1)
    with pytest.raises(CorpusError, match="No token covers the words of any item of the task"):
        items_of(LETTERS, states(without=tuple(range(8))))


def test_types_are_the_forms_of_all_spans() -> None:
    items = items_of(spans_task((0, 2), (2, 3)), states())
    assert items.types.tolist() == ["a b\tc", "e b\tf"]


@pytest.mark.parametrize("spans", [((0, 1),), ((0, 3),), ((0, 1), (2, 3)), ((0, 3), (1, 2))])
def test_pooled_is_the_mean_of_padded(spans) -> None:
    given = states()
    items = items_of(spans_task(*spans, level="pair" if len(spans) == 2 else "word"), given)
    hidden = given.read(0)
    found, words = pooled(hidden, items), padded(hidden, items)
    by_hand = [
        np.concatenate([hidden[offset + start : offset + end].mean(0) for start, end in spans])
        for offset in (0, 4)
    ]
    np.testing.assert_allclose(found, by_hand, atol=1e-6)
    assert found.dtype == words.dtype == np.float32
    longest = max(end - start for start, end in spans)
    assert words.shape == (2, len(spans), longest, 5)
    np.testing.assert_allclose(np.nanmean(words, axis=2).reshape(2, -1), found, atol=1e-6)
    for place, (start, end) in enumerate(spans):
        np.testing.assert_array_equal(words[1, place, : end - start], hidden[4 + start : 4 + end])
        assert np.isnan(words[:, place, end - start :]).all()


def test_sentences_of_different_length() -> None:
    given = states()
    items = items_of(sentence_task("ids", lambda s: s.id, "ids"), given)
    hidden = given.read(0)
    means = [hidden[start:end].mean(0) for start, end in ((0, 3), (3, 4), (4, 8))]
    np.testing.assert_allclose(pooled(hidden, items), means, atol=1e-6)
    words = padded(hidden, items)
    assert np.isnan(words).any(axis=3)[:, 0].tolist() == [
        [False] * 3 + [True], [False] + [True] * 3, [False] * 4,
    ]  # fmt: skip


def test_a_missing_annotation_is_named() -> None:
    task = word_task("upos", lambda s: s.upos, "part-of-speech tags (UPOS, column 4)")
    with pytest.raises(
        CorpusError,
        match="'upos' cannot be probed: no sentence that fits the model"
        r" has part-of-speech tags \(UPOS, column 4\)",
    ):
        items_of(task, states())  # fmt: skip


@pytest.mark.parametrize(
    "item",
    [Item(((0, 9),), "x"), Item(((-1, 1),), "x"), Item(((1, 1),), "x"), Item(((2, 1),), "x"),
     Item(((0, 1), (1, 2)), "x"), Item((), "x"), Item(((0, 1),), 3), Item(((0, 1),), None)],
)  # fmt: skip
def test_a_task_that_points_elsewhere_is_refused(item) -> None:
    with pytest.raises(BertologyError, match=r"The task 'mine' gives Item.* in 's0', which has 3"):
        items_of(Task("mine", "word", lambda sentence: [item], "words"), states())


def test_a_pair_needs_two_spans() -> None:
    with pytest.raises(BertologyError, match=r"2 span\(s\) of words were expected"):
        items_of(spans_task((0, 1)), states())
