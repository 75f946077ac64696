"""Half of the sentences have two neighbours in each other's place, and say so."""

from collections import Counter
from dataclasses import replace

import pytest

from bertology.corpora import Corpus, Sentence
from bertology.corpora.text import text_to_sentence, words_to_sentence
from bertology.errors import CorpusError
from bertology.probing.representations.tasks import shift_bigrams, task_named


def corpus_of(*sentences: Sentence) -> Corpus:
    return Corpus("words", sentences, "0" * 64)


MANY = corpus_of(
    *(
        words_to_sentence(["a", "b", ",", "The", "the", f"w{n}", "."], id=f"s{n}")
        for n in range(400)
    )
)


def test_one_pair_of_neighbours_changes_places_in_half_of_the_sentences() -> None:
    shifted = shift_bigrams(MANY)
    counts = Counter(sentence.label for sentence in shifted.sentences)
    # Within 3 standard deviations of a fair coin thrown 400 times.
    assert counts.total() == 400
    assert abs(counts["I"] - 200) < 30
    places = Counter()
    for before, after in zip(MANY.sentences, shifted.sentences, strict=True):
        other = [i for i in range(7) if before.words[i] != after.words[i]]
        assert (before.id, sorted(before.words)) == (after.id, sorted(after.words))
        if after.label == "O":
            assert (after.text, after.spans) == (before.text, before.spans)
        else:
            first, second = other
            assert second == first + 1
            assert after.words[first] == before.words[second]
            places[first] += 1
    # Neither punctuation nor the two that differ in capitals only; else evenly.
    assert set(places) == {0, 4}
    assert abs(places[0] - places[4]) < 45


def test_the_task_reads_the_label() -> None:
    task = task_named("bigram_shift")
    assert task.reads is shift_bigrams
    labels = [item.label for s in task.reads(MANY).sentences for item in task.items(s)]
    assert labels == [sentence.label for sentence in shift_bigrams(MANY).sentences]
    assert not [item for sentence in MANY.sentences for item in task.items(sentence)]


def test_the_draw_hangs_on_text_and_seed_alone() -> None:
    whole, part = shift_bigrams(MANY), shift_bigrams(corpus_of(*MANY.sentences[100:200]))
    assert part.sentences == whole.sentences[100:200]
    renamed = corpus_of(*(replace(s, id=f"other {s.id}") for s in MANY.sentences))
    assert [s.text for s in shift_bigrams(renamed).sentences] == [s.text for s in whole.sentences]
    other = shift_bigrams(MANY, seed=1)
    assert other.sentences != whole.sentences
    assert len({MANY.sha256, whole.sha256, other.sha256}) == 3


def test_spaces_stay_where_they_were() -> None:
    # Of the two words one pair can be swapped, so each of several seeds gives one of two texts.
    found = {
        shift_bigrams(corpus_of(text_to_sentence("ab  cde", id="s")), seed=seed).sentences[0]
        for seed in range(20)
    }
    assert {(s.text, s.words, s.label) for s in found} == {
        ("ab  cde", ("ab", "cde"), "O"),
        ("cde  ab", ("cde", "ab"), "I"),
    }


def test_other_annotation_is_dropped_and_the_document_kept() -> None:
    sentence = words_to_sentence(["a", "b"], id="s", document="d", upos=("X", "Y"), heads=(-1, 0))
    (after,) = shift_bigrams(corpus_of(sentence)).sentences
    assert (after.document, after.upos, after.heads) == ("d", (), ())


def test_what_cannot_be_shifted_is_left_out() -> None:
    stuck = words_to_sentence(["No", "no", "!"], id="stuck")
    assert [s.id for s in shift_bigrams(corpus_of(stuck, MANY.sentences[0])).sentences] == ["s0"]
    with pytest.raises(CorpusError, match="No sentence of words has two different words"):
        shift_bigrams(corpus_of(stuck))


def test_ewt_is_half_shifted(ewt_dev) -> None:
    counts = Counter(sentence.label for sentence in shift_bigrams(ewt_dev).sentences)
    assert counts.total() == 1777
    assert abs(counts["I"] / 1777 - 0.5) < 3 * 0.5 / 1777**0.5
