"""Reading minimal pairs: BLiMP's files, folders of them, and users' own tables."""

import json
from pathlib import Path

import pytest

from bertology.corpora import MinimalPair, MinimalPairs, read_minimal_pairs
from bertology.errors import CorpusError


def blimp(good, bad, paradigm="p", **more):
    names = {"UID": paradigm, "linguistics_term": "agreement", "field": "syntax"}
    return json.dumps({"sentence_good": good, "sentence_bad": bad, **names, **more}) + "\n"


def test_blimp_line_is_a_pair(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(blimp("She sleeps.", "She sleep.", pairID="7", simple_LM_method=True) + "\n")
    pairs = read_minimal_pairs(path)
    assert pairs.pairs == (
        MinimalPair("She sleeps.", "She sleep.", "p", "agreement", "syntax", "7"),
    )
    assert (pairs.name, len(pairs), pairs.unit) == (str(path), 1, "pair")


def test_folder_reads_its_files_in_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").write_text(blimp("c", "d", "second"))
    (tmp_path / "a.jsonl").write_text(blimp("a", "b", "first") * 2)
    (tmp_path / "readme.md").write_text("not pairs")
    pairs = read_minimal_pairs(tmp_path)
    assert [pair.paradigm for pair in pairs.pairs] == ["first", "first", "second"]
    assert pairs.sha256 != read_minimal_pairs(tmp_path / "a.jsonl").sha256


def test_table_of_ones_own_pairs(tmp_path: Path) -> None:
    path = tmp_path / "mine.tsv"
    path.write_text('good\tbad\tparadigm\nI go.\tI goes.\tverbs\nHe said "no".\tHe say.\t\n')
    first, second = read_minimal_pairs(path).pairs
    assert first == MinimalPair("I go.", "I goes.", "verbs", "verbs", "", "line 2")
    assert second == MinimalPair('He said "no".', "He say.", "mine", "mine", "", "line 3")


def test_first_pairs_of_every_paradigm(tmp_path: Path) -> None:
    pairs = MinimalPairs(
        "x", tuple(MinimalPair(f"g{i}", "b", "pq"[i % 2], "all") for i in range(9)), "0"
    )
    assert [pair.good for pair in pairs.first(2).pairs] == ["g0", "g1", "g2", "g3"]
    assert pairs.first(None) is pairs


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", blimp("x", "y") + '{"sentence_good": "x"}', "line 2: 'sentence_bad' is missin"),
        ("a.jsonl", blimp("x", " "), "line 1: 'sentence_bad' is ' ', no text"),
        ("a.jsonl", '{"sentence_good": 3, "sentence_bad": "x"}', "line 1: 'sentence_good' is 3"),
        ("a.jsonl", "{}", "'sentence_good' is missing.*this one has nothing"),
        ("a.jsonl", '{"sentence_good"', "line 1: not JSON"),
        ("a.jsonl", "\n", "holds no minimal pair"),
        ("a.jsonl", blimp("x", "y") + blimp("x", "y", linguistics_term="z"), "line 2.*'z', and"),
        ("a.tsv", "good\tbad\nx\ty\nx\n", "line 3: 'bad' is None, no text"),
        ("a.tsv", "right\twrong\nx\ty\n", "line 2: 'good' is missing.*'right', 'wrong'"),
        ("a.txt", "x", "ends in '.txt'"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(CorpusError, match=message):
        read_minimal_pairs(path)


def test_folder_without_pairs_and_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no \.jsonl file"):
        read_minimal_pairs(tmp_path)
    with pytest.raises(CorpusError, match="There is no file"):
        read_minimal_pairs(tmp_path / "none.jsonl")


def test_blimp(shared_file) -> None:
    pairs = read_minimal_pairs(shared_file("probing/blimp"))
    assert len(pairs) == 34 * 300
    assert len({pair.paradigm for pair in pairs.pairs}) == 34
    assert len({pair.phenomenon for pair in pairs.pairs}) == 13
    assert all(pair.good != pair.bad for pair in pairs.pairs)
