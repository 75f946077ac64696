"""Named entities in columns of several kinds."""

from collections import Counter
from pathlib import Path

import pytest

from bertology.corpora import Corpus, read_conllu, read_corpus, read_iob
from bertology.errors import CorpusError

#: As Universal NER writes it.
NUMBERED = """\
# newdoc id = letters
# sent_id = letters-1
# text = Ann # left
1\tAnn\tB-PER
2-3\t#left\tO
2\t#\tO
3\tleft\tO
3.1\t_\tO

# sent_id = letters-2
1\t1\tO
"""
#: As CoNLL-2003 is written: IOB1, where B- only parts neighbours.
SPACED = """\
-DOCSTART- -X- -X- O

1 CD I-NP O
# NN I-NP O
New NNP I-NP I-LOC
York NNP I-NP I-LOC
Ann NNP I-NP I-PER
Bob NNP B-NP B-PER

-DOCSTART- -X- -X- O

EU NNP I-NP I-ORG
"""


def written(tmp_path: Path, text: str, name: str = "x.conll") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def rows(corpus: Corpus) -> list[list[tuple[str, str]]]:
    return [list(zip(s.words, s.entities, strict=True)) for s in corpus.sentences]


@pytest.mark.parametrize("name", ["x.iob2", "x.conll"])
def test_numbered_columns_with_comments(tmp_path: Path, name: str) -> None:
    corpus = read_corpus(written(tmp_path, NUMBERED, name))
    assert rows(corpus) == [[("Ann", "B-PER"), ("#", "O"), ("left", "O")], [("1", "O")]]
    named = [(sentence.id, sentence.document) for sentence in corpus.sentences]
    assert named == [("letters-1", "letters"), ("letters-2", "letters")]


def test_an_id_names_one_sentence(tmp_path: Path) -> None:
    corpus = read_iob(written(tmp_path, "# sent_id = a\nAnn\tB-PER\n\nBob\tB-PER\n"))
    assert [sentence.id for sentence in corpus.sentences] == ["a", "line 4"]


def test_further_columns_behind_the_tag_of_numbered_words(tmp_path: Path) -> None:
    text = "1\tAnn\tB-PER\t-\tnick\n2\tleft\tO\t-\tnick\n"
    assert rows(read_corpus(written(tmp_path, text))) == [[("Ann", "B-PER"), ("left", "O")]]


def test_spaced_columns_become_iob2(tmp_path: Path) -> None:
    corpus = read_corpus(written(tmp_path, SPACED))
    assert rows(corpus) == [
        [("1", "O"), ("#", "O"), ("New", "B-LOC"), ("York", "I-LOC"), ("Ann", "B-PER"),
         ("Bob", "B-PER")],
        [("EU", "B-ORG")],
    ]  # fmt: skip
    named = [(sentence.id, sentence.document) for sentence in corpus.sentences]
    assert named == [("line 3", "document 1"), ("line 12", "document 2")]


@pytest.mark.parametrize(
    ("given", "expected"),
    [("B-X I-X O", "B-X I-X O"), ("O I-X I-X", "O B-X I-X"), ("I-X I-Y", "B-X B-Y"),
     ("B-X I-Y I-Y", "B-X B-Y I-Y"), ("B-X B-X I-X", "B-X B-X I-X")],
)  # fmt: skip
def test_an_entity_begins_with_b(tmp_path: Path, given: str, expected: str) -> None:
    text = "".join(f"w\t{tag}\n" for tag in given.split())
    (sentence,) = read_iob(written(tmp_path, text)).sentences
    assert sentence.entities == tuple(expected.split())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Ann\tB-PER\nleft\n", "line 2: 1 columns where 2 or more"),
        ("Ann\tB-PER\nleft\tS-PER\n", "line 2: the tag 'S-PER' is not O, B-TYPE or I-TYPE"),
        ("Ann\tB-PER\n\n \tO\n", "line 3: the word is empty"),
        ("Ann\tB-PER\n\tO\n", "line 2: the word is empty"),
        ("1\tAnn\tB-PER\nx\tleft\tO\n", "line 2: the word number 'x' is not a number"),
        ("1\tAnn\tB-PER\n2\tleft\n", "line 2: 2 columns where 3 or more"),
        ("# sent_id = 1\n\n", "holds no sentence"),
        ("", "holds no sentence"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CorpusError, match=rf"x\.conll.*{message}"):
        read_iob(written(tmp_path, text))


def test_conllu_is_still_conllu(tmp_path: Path) -> None:
    text = "# sent_id = a\n1\tO\tO\tX\tO\t_\t0\troot\t_\tO\n\n"
    path = written(tmp_path, text)
    assert read_corpus(path).sentences == read_conllu(path).sentences
    with pytest.raises(CorpusError, match="9 tab-separated columns where CoNLL-U has 10"):
        read_corpus(written(tmp_path, "1\tO\to\tX\tO\t_\t0\troot\t_\n\n"))


@pytest.mark.parametrize(
    ("name", "sentences", "words", "entities"),
    [
        ("uner-en_ewt-ud-dev.iob2", 2001, 25149, {"LOC": 399, "ORG": 224, "PER": 343}),
        (
            "wnut17/emerging.dev.conll", 1009, 15733,
            {"location": 74, "creative-work": 105, "person": 470, "product": 114, "group": 39,
             "corporation": 34},
        ),
        (
            "wnut17/wnut17train.conll", 3394, 62730,
            {"location": 548, "group": 264, "corporation": 221, "person": 660,
             "creative-work": 140, "product": 142},
        ),
    ],
)  # fmt: skip
def test_counts_of_real_files(shared_file, name, sentences, words, entities) -> None:
    corpus = read_corpus(shared_file(f"ner/{name}"))
    assert (len(corpus), sum(map(len, corpus.sentences))) == (sentences, words)
    tags = [tag for sentence in corpus.sentences for tag in sentence.entities]
    assert Counter(tag[2:] for tag in tags if tag.startswith("B-")) == entities
