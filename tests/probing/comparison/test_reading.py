"""Which texts two models read, which of them are each other's null, and which tokens are drawn."""

from dataclasses import replace

import numpy as np
import pytest

from bertology.corpora import Corpus
from bertology.corpora.text import text_to_sentence
from bertology.errors import BertologyError, CorpusError, ModelError
from bertology.probing.comparison.reading import partners_of, read_together, sample_states


def corpus(texts: list[str], documents: list[str] | None = None) -> Corpus:
    names = documents or [None] * len(texts)
    sentences = [
        text_to_sentence(text, id=f"s{i}", document=name)
        for i, (text, name) in enumerate(zip(texts, names, strict=True))
    ]
    return Corpus("test", tuple(sentences), "")


TEXTS = ["w1 w2", "w3 w4", "w1 w2", "w5 w6 w7", "w8 w9", "w1 w2 w3"]


def test_partners_are_other_texts_of_the_same_length() -> None:
    sentences = corpus(TEXTS).sentences
    sizes = [len(sentence) for sentence in sentences]
    # 2 reads as 0 does, so 0 and 2 have others; the circle closes from 4 to 0.
    found = partners_of(sentences, sizes, [True] * 6)
    assert found.tolist() == [1, 2, 4, 5, 0, 3]
    assert partners_of(sentences, sizes, [True] * 5 + [False]).tolist() == [1, 2, 4, -1, 0, -1]
    same = [text_to_sentence("w1 w2", id=str(i)) for i in range(3)]
    assert partners_of(same, [2] * 3, [True] * 3).tolist() == [-1] * 3


def test_reading_lines_texts_up(tiny_model) -> None:
    model = tiny_model("bert")
    given = corpus([*TEXTS, " ".join(["w1"] * 60), " "])
    reading = read_together([model, model], given, "token")
    assert [sentence.text for sentence in reading.corpus.sentences] == TEXTS
    assert [name for name, _ in reading.skipped] == ["s6", "s7"]
    assert "62 tokens" in reading.skipped[0][1]
    assert reading.sizes.tolist() == [4, 4, 4, 5, 4, 5]  # with [CLS] and [SEP]
    assert reading.states.tolist() == [2, 2, 2, 3, 2, 3]  # without
    assert reading.partner(reading.corpus.sentences[0]) is reading.corpus.sentences[1]
    words = read_together([model, model], given, "word")
    assert words.sizes.tolist() == [2, 2, 2, 3, 2, 3]


def test_tokens_are_drawn_evenly_from_units(tiny_model) -> None:
    model = tiny_model("bert")
    given = corpus(["w1 w2 w3 w4 w5 w6 w7 w8"] * 3 + ["w9 w10"] * 17, [f"d{i}" for i in range(20)])
    reading = read_together([model, model], given, "token")
    drawn = sample_states(reading, 30, seed=0)
    counts = [len(places) for places in drawn]
    assert sum(counts) == 30 and set(counts) == {1, 2}
    assert all(np.array_equal(places, np.unique(places)) for places in drawn)
    # Once the short documents are used up, the long ones go on.
    assert [len(places) for places in sample_states(reading, 43, seed=0)] == [3] * 3 + [2] * 17
    assert [len(places) for places in sample_states(reading, 999, seed=0)] == [8] * 3 + [2] * 17
    again = sample_states(reading, 30, seed=0)
    assert all(np.array_equal(a, b) for a, b in zip(drawn, again, strict=True))
    other = sample_states(reading, 30, seed=1)
    assert not all(np.array_equal(a, b) for a, b in zip(drawn, other, strict=True))


def test_what_cannot_be_compared_is_refused(tiny_model, tokenizer_of) -> None:
    model = tiny_model("bert")
    other = replace(model, name="other", tokenizer=tokenizer_of("[CLS] [CLS] $A [SEP]"))
    with pytest.raises(ModelError, match=r"different tokenizers.*maps='word'"):
        read_together([model, other], corpus(TEXTS), "token")
    assert len(read_together([model, other], corpus(TEXTS), "word").corpus) == 6
    with pytest.raises(BertologyError, match="'row'"):
        read_together([model, model], corpus(TEXTS), "row")
    with pytest.raises(CorpusError, match="at least 4"):
        read_together([model, model], corpus(TEXTS[:3]), "token")
    long = [" ".join(["w1"] * 60)] * 20
    one = corpus([*TEXTS, *long], ["a"] * 6 + [f"d{i}" for i in range(20)])
    with pytest.raises(CorpusError, match="one document"):
        read_together([model, model], one, "token")
