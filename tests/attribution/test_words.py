"""From tokens to words, and the floors."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from bertology.attribution import AttributionError, prepare
from bertology.attribution.erasing import delete, substitute
from bertology.attribution.floors import (
    frequency_scores,
    other_sentence_scores,
    position_scores,
    random_scores,
)
from bertology.attribution.words import Items, items_of

CaseOf = Callable[[str], SimpleNamespace]


def items(*names: str) -> Items:
    return Items(names, np.arange(len(names)), np.arange(len(names)))


def test_tokens_sum_to_words_before_any_absolute_value(case_of: CaseOf) -> None:
    case = case_of("bert classifier")
    prepared = prepare(case.model, case.examples[:1])
    own = items_of(prepared.encodings[0], prepared.goals[0], "word")
    assert own.names == ("w1", "w2.w3", "w4", "w5", "w6", "w7", "w8", ".")
    scores = np.array([9, 1, 2, -3, 4, 5, 6, 7, 8, 1, 1, 9.0])
    np.testing.assert_array_equal(own.sums(scores), [1, 3, 5, 6, 7, 8, 1, 1])


def test_masked_word_and_specials_are_no_items(case_of: CaseOf) -> None:
    case = case_of("roberta masked lm")
    prepared = prepare(case.model, case.examples[:1])
    (encoding,), (goal,) = prepared.encodings, prepared.goals
    words = items_of(encoding, goal, "word")
    tokens = items_of(encoding, goal, "token")
    assert len(words) == 7
    assert len(tokens) == len(encoding) - 3
    assert goal.name not in words.names
    assert words.of_token[goal.position] == -1
    assert "[CLS]" not in tokens.names and "[MASK]" not in tokens.names


def test_unknown_unit_is_refused(case_of: CaseOf) -> None:
    case = case_of("bert classifier")
    prepared = prepare(case.model, case.examples[:1])
    with pytest.raises(AttributionError, match="word, token"):
        items_of(prepared.encodings[0], prepared.goals[0], "sentence")


def test_deletion_moves_the_predicting_row(case_of: CaseOf) -> None:
    case = case_of("gpt2 lm")
    prepared = prepare(case.model, case.examples[1:2])
    (encoding,), (goal,) = prepared.encodings, prepared.goals
    assert (encoding.tokens, goal.position) == (("w5", "w6", "w9"), 2)
    for removed, tokens in (([1, 0, 0], ("w6", "w9")), ([0, 0, 1], ("w5", "w6"))):
        shorter, moved = delete(encoding, goal, np.array(removed, dtype=bool))
        assert shorter.tokens == tokens
        assert moved.position == 1
        assert len(shorter.words) == len(moved.scored) == 2


def test_substitution_keeps_the_length(case_of: CaseOf) -> None:
    case = case_of("bert classifier")
    prepared = prepare(case.model, case.examples[1:2])
    (encoding,), (goal,) = prepared.encodings, prepared.goals
    changed, _ = substitute(4)(encoding, goal, encoding.words == 1)
    assert changed.ids.tolist() == [*encoding.ids[:2], 4, *encoding.ids[3:]]


def test_floors() -> None:
    texts = [items("The", "cat", "the"), items("a", "dog", "sat"), items("one", "two")]
    assert position_scores(texts)[0].tolist() == [3, 2, 1]
    the, cat, again = frequency_scores(texts)[0]
    assert the == again == pytest.approx(-np.log(2 / 8))
    assert cat == pytest.approx(-np.log(1 / 8))
    maps = [np.array([1.0, 2, 3]), np.array([4.0, 5, 6]), np.array([7.0, 8])]
    other = other_sentence_scores(texts, maps, seed=0)
    assert other[0] is maps[1] and other[1] is maps[0] and other[2] is None
    first, second = random_scores(texts, seed=0), random_scores(texts, seed=0)
    assert all((a == b).all() for a, b in zip(first, second, strict=True))
    assert (random_scores(texts, seed=1)[0] != first[0]).all()
