"""Probing files with a part, a label and a sentence in each line."""

from collections import Counter
from pathlib import Path

import pytest

from bertology.corpora import read_corpus, read_senteval
from bertology.errors import CorpusError


def written(tmp_path: Path, text: str, name: str = "tense.txt") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_each_part_is_a_corpus_with_labels(tmp_path: Path) -> None:
    text = "va\tpast\tShe left .\nte\tpres\tHe  waits\n\nva\tpres\tIt rains\n"
    parts = read_senteval(written(tmp_path, text))
    assert {
        part: [(s.id, s.words, s.label) for s in corpus.sentences]
        for part, corpus in parts.items()
    } == {
        "va": [("line 1", ("She", "left", "."), "past"), ("line 4", ("It", "rains"), "pres")],
        "te": [("line 2", ("He", "waits"), "pres")],
    }  # fmt: skip
    assert parts["te"].name.endswith("tense.txt (te)")


@pytest.mark.parametrize("name", ["x.txt", "x.tsv"])
def test_a_corpus_of_all_parts_is_told_by_the_first_line(tmp_path: Path, name: str) -> None:
    corpus = read_corpus(written(tmp_path, "te\ta\tb c\tone\ntr\td\te f\ttwo\n", name))
    assert [(s.id, s.label) for s in corpus.sentences] == [("two", "d"), ("one", "a")]


def test_text_that_begins_like_a_part_is_text(tmp_path: Path) -> None:
    (sentence,) = read_corpus(written(tmp_path, "te quiero mucho\n")).sentences
    assert (sentence.label, sentence.words) == (None, ("te", "quiero", "mucho"))


@pytest.mark.parametrize(
    "line", ["tr\tpast", "dev\tpast\tShe left", "tr\t\tShe left", "tr\tpast\t ", "tr past She",
             "tr\tpast\tShe left\tid\tmore", "tr\tpast\tShe left\t"],
)  # fmt: skip
def test_mistakes_are_told_with_their_line(tmp_path: Path, line: str) -> None:
    with pytest.raises(CorpusError, match=r"tense\.txt, line 2: .*a part \(tr, va, te\)"):
        read_senteval(written(tmp_path, f"tr\tpast\tShe left\n{line}\n"))


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="is empty"):
        read_senteval(written(tmp_path, "\n"))


def test_counts_of_a_real_file(shared_file) -> None:
    parts = read_senteval(shared_file("probing/ewt/tense.tsv"))
    labels = {part: Counter(s.label for s in corpus.sentences) for part, corpus in parts.items()}
    assert labels == {"tr": {"Past": 1529, "Pres": 1767}, "va": {"Past": 180, "Pres": 273}}
