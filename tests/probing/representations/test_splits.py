"""Parts of a corpus never share a sentence, parts by type never a type."""

import numpy as np
import pytest

from bertology.corpora import Corpus
from bertology.corpora.text import words_to_sentence
from bertology.errors import CorpusError
from bertology.probing.representations.items import Items
from bertology.probing.representations.splits import (
    check_apart,
    count_shared_texts,
    split_documents,
    split_sentences,
    split_types,
    unseen_types,
)


def corpus(documents) -> Corpus:
    sentences = tuple(
        words_to_sentence(["word", str(number % 3)], id=f"s{number}", document=document)
        for number, document in enumerate(documents)
    )
    return Corpus("a file", sentences, "0" * 64)


def ids(part) -> list[str]:
    return [sentence.id for sentence in part.sentences]


def items(*types: str) -> Items:
    rows = np.arange(len(types))
    words = np.array(types, dtype=object)
    return Items("mine", np.stack([rows, rows + 1], 1)[:, None], words, words, rows, rows, 0)


def test_documents_alternate_and_stay_whole() -> None:
    train, evaluate = split_documents(corpus(["a", "a", "b", "c", "c", "d"]))
    assert (ids(train), ids(evaluate)) == (["s0", "s1", "s3", "s4"], ["s2", "s5"])
    assert (train.name, evaluate.name) == ("a file (even documents)", "a file (odd documents)")
    check_apart(train, evaluate)


@pytest.mark.parametrize("document", [None, "only"])
def test_sentences_alternate_where_there_are_no_documents(document) -> None:
    train, evaluate = split_documents(corpus([document] * 5))
    assert (ids(train), ids(evaluate)) == (["s0", "s2", "s4"], ["s1", "s3"])


def test_sentences_alternate_across_documents_if_asked() -> None:
    train, evaluate = split_sentences(corpus(["a", "a", "b", "c", "c", "d"]))
    assert (ids(train), ids(evaluate)) == (["s0", "s2", "s4"], ["s1", "s3", "s5"])
    assert (train.documents, evaluate.documents) == (("a", "b", "c"), ("a", "c", "d"))
    check_apart(train, evaluate)


@pytest.mark.parametrize("split", [split_documents, split_sentences])
def test_one_sentence_cannot_be_split(split) -> None:
    with pytest.raises(CorpusError, match="has 1 sentence"):
        split(corpus([None]))


def test_the_same_file_is_refused_also_in_part() -> None:
    whole = corpus([None] * 6)
    with pytest.raises(CorpusError, match=r"6 sentences of a file are also in a file.*'s0'"):
        check_apart(whole, whole)
    with pytest.raises(CorpusError, match="2 sentences"):
        check_apart(whole.first(2), whole)


def test_equal_texts_of_other_sentences_are_counted() -> None:
    train, evaluate = split_documents(corpus([None] * 6))
    assert count_shared_texts(train, evaluate) == 3


def test_parts_by_type_share_none_and_lose_no_type() -> None:
    generator = np.random.default_rng(0)
    one = items(*(f"w{number}" for number in generator.zipf(1.5, 500)))
    other = items(*(f"w{number}" for number in generator.zipf(1.5, 300)))
    train, evaluate = split_types(one, other)
    assert set(one.types) & set(other.types), "the parts must share types before"
    assert not set(train.types) & set(evaluate.types)
    assert unseen_types(train, evaluate).all()
    # Whole types: what is kept of a type is kept with all its items.
    for whole, part in ((one, train), (other, evaluate)):
        for kept in set(part.types):
            assert (part.types == kept).sum() == (whole.types == kept).sum()


def test_one_corpus_is_split_by_type_into_all_of_it() -> None:
    whole = items("a", "b", "a", "c", "d", "b")
    train, evaluate = split_types(whole, whole)
    assert sorted([*train.sentences, *evaluate.sentences]) == [0, 1, 2, 3, 4, 5]
    assert len(set(train.types)) == len(set(evaluate.types)) == 2
    again = split_types(whole, whole)
    assert again[0].sentences.tolist() == train.sentences.tolist()
    draws = {tuple(sorted(set(split_types(whole, whole, seed=s)[0].types))) for s in range(20)}
    assert len(draws) > 3


def test_too_few_types_are_refused() -> None:
    with pytest.raises(
        CorpusError, match="has 1 types of words, and a split of them leaves 2 items"
    ):
        split_types(items("a", "a"), items("a"))


def test_unseen_types_are_those_training_lacks() -> None:
    unseen = unseen_types(items("a", "b"), items("b", "c", "a", "B"))
    assert unseen.tolist() == [False, True, False, True]
