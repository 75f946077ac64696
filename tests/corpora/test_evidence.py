"""Texts with marked evidence."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bertology.corpora import read_evidence
from bertology.errors import CorpusError


def write(folder: Path, **fields: object) -> Path:
    path = folder / "evidence.jsonl"
    path.write_text(json.dumps(fields) + "\n", encoding="utf-8")
    return path


def test_words_that_a_span_touches(tmp_path: Path) -> None:
    path = write(
        tmp_path, document="dull and long\nbut fine .", classification="NEG",
        annotation_id="r1", evidences=[{"start_char": 1, "end_char": 6}],
    )  # fmt: skip
    (whole,) = read_evidence(path).examples
    assert whole.rationale == (True, True, False, False, False, False)
    assert (whole.id, whole.label) == ("r1", "NEG")
    (line,) = read_evidence(path, unit="line").examples
    assert line.sentence.words == ("dull", "and", "long")
    assert line.rationale == (True, True, False)
    assert line.sentence.document == "r1"


def test_bad_input(tmp_path: Path) -> None:
    given = {"document": "a b", "classification": "x"}
    with pytest.raises(CorpusError, match="no span of the text, which has 3"):
        read_evidence(write(tmp_path, **given, evidences=[{"start_char": 2, "end_char": 9}]))
    with pytest.raises(CorpusError, match="evidences a list; it has 'document'"):
        read_evidence(write(tmp_path, document="a b"))
    with pytest.raises(CorpusError, match="unit is 'word'"):
        read_evidence(write(tmp_path, **given, evidences=[]), unit="word")


def test_movie_rationales(shared_file: Callable[[str], Path]) -> None:
    path = shared_file("rationales/movies/movies-rationales.jsonl")
    reviews = read_evidence(path)
    assert len(reviews) == 50
    for record, example in zip(path.read_text().splitlines(), reviews.examples, strict=True):
        # White-space words of the spans, as the file itself counts them.
        spans = [(e["start_token"], e["end_token"]) for e in json.loads(record)["evidences"]]
        marked = {word for start, end in spans for word in range(start, end)}
        assert {word for word, mark in enumerate(example.rationale) if mark} == marked
