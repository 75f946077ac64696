"""Parts of a corpus never share a sentence."""

import pytest

from bertology.corpora import Corpus
from bertology.corpora.text import words_to_sentence
from bertology.errors import CorpusError
from bertology.probing.representations import split_documents
from bertology.probing.representations.split import check_apart, count_shared_texts


def corpus(documents):
    sentences = tuple(
        words_to_sentence(["word", str(number % 3)], id=f"s{number}", document=document)
        for number, document in enumerate(documents)
    )
    return Corpus("a file", sentences, "0" * 64)


def ids(part):
    return [sentence.id for sentence in part.sentences]


def test_documents_alternate_and_stay_whole():
    train, evaluate = split_documents(corpus(["a", "a", "b", "c", "c", "d"]))
    assert ids(train) == ["s0", "s1", "s3", "s4"]
    assert ids(evaluate) == ["s2", "s5"]
    check_apart(train, evaluate)


@pytest.mark.parametrize("document", [None, "only"])
def test_sentences_alternate_where_there_are_no_documents(document):
    train, evaluate = split_documents(corpus([document] * 5))
    assert ids(train) == ["s0", "s2", "s4"]
    assert ids(evaluate) == ["s1", "s3"]


def test_one_sentence_cannot_be_split():
    with pytest.raises(CorpusError, match="has 1 sentence"):
        split_documents(corpus([None]))


def test_the_same_file_is_refused_also_in_part():
    whole = corpus([None] * 6)
    with pytest.raises(CorpusError, match=r"6 sentences of a file are also in a file.*'s0'"):
        check_apart(whole, whole)
    with pytest.raises(CorpusError, match="2 sentences"):
        check_apart(whole.first(2), whole)


def test_equal_texts_of_other_sentences_are_counted():
    train, evaluate = split_documents(corpus([None] * 6))
    assert count_shared_texts(train, evaluate) == 3
