"""Reading labelled texts."""

import json
from pathlib import Path

import pytest

from bertology import BertologyError
from bertology.corpora import (
    Example,
    Examples,
    corpus_of,
    examples_of,
    read_corpus,
    read_examples,
    read_plain_text,
)
from bertology.corpora.text import text_to_sentence
from bertology.errors import CorpusError


def test_tsv_with_mapped_names_and_quotes(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text('Sentiment\tText\nPositive\t"so ""good"" , a film"\nNegative\tbad\n')
    first, second = read_examples(path, {"text": "Text", "label": "Sentiment"}).examples
    assert first.sentence.words == ("so", '"good"', ",", "a", "film")
    assert (first.label, second.label) == ("Positive", "Negative")


def test_jsonl_with_pair_and_rationale(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    record = {"text": "a b  c", "text_pair": "d e", "label": 1, "rationale": [0, 1, 0], "id": "x"}
    path.write_text(json.dumps(record) + "\n\n")
    (example,) = read_examples(path).examples
    assert example.sentence.text == "a b  c"
    assert example.sentence.words == ("a", "b", "c")
    assert example.pair is not None and example.pair.words == ("d", "e")
    assert (example.label, example.rationale, example.id) == ("1", (False, True, False), "x")


def test_sst_trees_are_binary_without_neutral(tmp_path: Path) -> None:
    path = tmp_path / "trees.txt"
    path.write_text("(3 (2 so) (3 -LRB-good-RRB-))\n(2 (2 no) (2 view))\n(0 (1 bad) (1 -LRB-))\n")
    examples = read_examples(path).examples
    assert [(e.label, e.sentence.text) for e in examples] == [
        ("positive", "so -LRB-good-RRB-"),
        ("negative", "bad ("),
    ]


def test_sst_dev(shared_file) -> None:
    examples = read_examples(shared_file("sentiment/sst/dev.txt")).examples
    assert len(examples) == 872
    assert sum(e.label == "negative" for e in examples) == 139 + 289


@pytest.mark.parametrize(
    ("name", "content", "columns", "message"),
    [
        ("a.tsv", "Text\tLabel\nx\ty\n", None, "line 2.*'text' is missing.*'Text', 'Label'"),
        ("a.tsv", "text\n \n", None, "is empty"),
        ("a.tsv", "text\n", None, "no example"),
        ("a.tsv", "text\nx\n", {"words": "x"}, "the fields are text"),
        ("a.jsonl", '{"text": "a"}\n{"text"', None, "line 2: not JSON"),
        ("a.jsonl", "[1]\n", None, "JSON object"),
        ("a.jsonl", '{"text": "a b", "rationale": [1]}', None, "1 entries for 2 words"),
        ("a.docx", "x", None, "ends in '.docx'"),
        ("a.txt", "(9 (2 x))\n", None, "line 1: not a tree"),
        ("a.txt", "(2 (2 x) (2 y))\n", None, "other than neutral"),
    ],
)
def test_mistakes(tmp_path: Path, name: str, content: str, columns, message: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(BertologyError, match=message):
        read_examples(path, columns)


def test_plain_text_keeps_lines_as_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("Don't  stop.\r\n\n  second line \n")
    first, second = read_plain_text(path).sentences
    assert (first.text, first.words, first.id) == ("Don't  stop.", ("Don't", "stop."), "line 1")
    assert second.words == ("second", "line")
    with pytest.raises(BertologyError, match="is empty"):
        path.write_text("\n \n")
        read_plain_text(path)


def test_labels_go_with_the_corpus_and_come_back(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("text\ttext_pair\tlabel\nso good\tor so\tpositive\nwell\t\t\n")
    examples = read_examples(path)
    corpus = read_corpus(path)
    assert [sentence.label for sentence in corpus.sentences] == ["positive", None]
    assert corpus == corpus_of(examples)
    assert examples_of(corpus) == examples


def test_halves_share_no_document() -> None:
    sentences = [
        text_to_sentence(f"text {n}", id=f"s{n}", document=f"d{n // 3}") for n in range(63)
    ]
    examples = Examples("e", tuple(Example(sentence) for sentence in sentences), "0" * 64)
    first, second = examples.halves(seed=1)
    assert not set(first.documents) & set(second.documents)
    # Ten documents or eleven are no fewer units for having been parted.
    assert {first.unit, second.unit, examples.unit} == {"document"}
    assert len(first) + len(second) == 63 and abs(len(first) - len(second)) == 3
    assert {e.id for e in first.examples} | {e.id for e in second.examples} == {
        sentence.id for sentence in sentences
    }
    assert examples.halves(seed=1)[0].examples == first.examples
    assert examples.halves(seed=2)[0].examples != first.examples
    with pytest.raises(CorpusError, match="at least two"):
        examples.first(1).halves(seed=0)
