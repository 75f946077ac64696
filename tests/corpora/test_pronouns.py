"""Passages that ask whom a pronoun means."""

from collections import Counter
from pathlib import Path

import pytest

from bertology import BertologyError
from bertology.corpora import Corpus, Mention, read_corpus, read_gap, read_winobias

HEADER = "ID\tText\tPronoun\tPronoun-offset\tA\tA-offset\tA-coref\tB\tB-offset\tB-coref\tURL\n"
#        0         1         2         3         4
TEXT = "\"Zoë O'Hara Jr.\" met ``Ann-Lee`` in 1999; she'd left."


def gap(tmp_path: Path, row: str, header: str = HEADER) -> Corpus:
    path = tmp_path / "gap.tsv"
    path.write_text(header + row, encoding="utf-8")
    return read_corpus(path)


def passage(a: str = "FALSE", b: str = "TRUE", pronoun: int = 42, last: str = "u") -> str:
    cells = ["x-1", TEXT, "she", pronoun, "Zoë O'Hara Jr.", 1, a, "Ann", 23, b, last]
    return "\t".join(map(str, cells)) + "\n"


def test_gap_mentions_are_whole_words(tmp_path: Path) -> None:
    (sentence,) = gap(tmp_path, passage()).sentences
    assert (sentence.id, sentence.text) == ("x-1", TEXT)
    expected = ["Zoë", "O", "'", "Hara", "Jr", "."]
    assert sentence.words[:8] == ('"', *expected, '"')
    assert sentence.mentions == (
        Mention("A", 1, 7, "proper"),
        Mention("B", 11, 12, "proper"),
        Mention("B", 19, 20, "pronoun"),
    )
    assert sentence.words[11:16] == ("Ann", "-", "Lee", "`", "`")


def test_gap_pronoun_of_neither(tmp_path: Path) -> None:
    entities = [m.entity for m in gap(tmp_path, passage(b="false")).sentences[0].mentions]
    assert len(set(entities)) == 3


def test_gap_words_are_cut_where_a_mention_ends(tmp_path: Path) -> None:
    row = passage().replace("Ann-Lee", "AnneLee")
    assert gap(tmp_path, row).sentences[0].words[11:13] == ("Ann", "eLee")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (passage(pronoun=41), "line 2: Pronoun 'she' is not at character 41"),
        (passage(pronoun=-1), "line 2: Pronoun 'she' is not at character -1"),
        (passage().replace("she\t42", ".\tx"), "line 2: Pronoun '.' is not at character x"),
        (passage(pronoun=4000), "line 2: Pronoun 'she' is not at character 4000"),
        (passage() + passage().replace("\tAnn\t", "\tAna\t"), "line 3: B 'Ana' is not at"),
        (passage(a="TRUE"), "line 2: the pronoun means both"),
        (passage(a="yes"), "line 2: A-coref is 'yes'; TRUE or FALSE"),
        (passage(last="u\tv"), "line 2: 12 tab-separated cells for 11 columns"),
        ("", "no passage"),
    ],
)
def test_gap_mistakes_name_the_line(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(BertologyError, match=message):
        gap(tmp_path, row)


def test_gap_needs_its_columns_and_other_tables_are_read_as_what_they_are(tmp_path: Path) -> None:
    header = HEADER.replace("A-coref", "A-link")
    with pytest.raises(BertologyError, match="line 1: GAP has the columns A-coref too"):
        gap(tmp_path, passage(), header)
    labelled = gap(tmp_path, "a\tb\n", "text\tlabel\n")
    assert [sentence.words for sentence in labelled.sentences] == [("a",)]
    plain = gap(tmp_path, "a\tb\n", "one\ttwo\n")
    assert [sentence.words for sentence in plain.sentences] == [("one", "two"), ("a", "b")]


@pytest.mark.parametrize(
    ("part", "counts"),
    [
        ("development", {"A": 874, "B": 925, "neither": 201}),
        ("validation", {"A": 187, "B": 205, "neither": 62}),
    ],
)
def test_gap_counts(shared_file, part: str, counts: dict[str, int]) -> None:
    corpus = read_corpus(shared_file(f"coref/gap/gap-{part}.tsv"))
    pronouns = [m for s in corpus.sentences for m in s.mentions if m.kind == "pronoun"]
    assert Counter(m.entity for m in pronouns) == counts
    assert all(Counter(m.kind for m in s.mentions)["proper"] == 2 for s in corpus.sentences)


WINOBIAS = """1 [The construction worker] hired the cook's  boy because [he] was old.
2 The cook told [the construction worker] that the cook and a cook saw [ her].

3 The guard told [the cook] that [he] saw [his] boss.
4 [The guard] said that a cook told [him].
5 The worker thanked [the guard] for [her] help.
"""


def winobias(tmp_path: Path, text: str = WINOBIAS) -> Corpus:
    path = tmp_path / "winobias.txt.dev"
    path.write_text(text, encoding="utf-8")
    return read_winobias(path)


def test_winobias_has_the_other_occupation(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="3 of 5 lines are left out.*another occupation: 4, 5, 6"):
        first, second = winobias(tmp_path).sentences
    assert first.text == "The construction worker hired the cook's  boy because he was old."
    assert first.words[4:8] == ("the", "cook", "'", "s")
    assert first.mentions == (
        Mention("construction worker", 0, 3, "nominal"),
        Mention("cook", 4, 6, "nominal"),
        Mention("construction worker", 10, 11, "pronoun"),
    )
    # Every mention behind "the" competes, and none behind another article.
    assert second.text.endswith("a cook saw her.")
    assert [(m.entity, m.start, m.end, m.kind) for m in second.mentions] == [
        ("cook", 0, 2, "nominal"),
        ("construction worker", 3, 6, "nominal"),
        ("cook", 7, 9, "nominal"),
        ("construction worker", 13, 14, "pronoun"),
    ]
    assert (first.id, second.id) == ("line 1", "line 2")


def test_winobias_takes_the_longest_occupation(tmp_path: Path) -> None:
    (sentence, *_) = winobias(
        tmp_path,
        "1 [The cook] met the guard captain because [he] called.\n"
        "2 The cook met [the guard captain] because [he] called.\n"
        "3 The cook met [the guard] because [he] called.\n",
    ).sentences
    assert sentence.mentions[1] == Mention("guard captain", 3, 6, "nominal")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[The cook] saw [her].\n", "line 1: a number and a sentence"),
        ("\n1 [The cook saw [her].\n", "line 2: a bracket has no partner"),
        ("1 The cook] saw [her].\n", "line 1: a bracket has no partner"),
        ("1 [The [cook]] saw [her].\n", "line 1: a bracket has no partner"),
        ("1 [The cook] saw [ ].\n", "no line such as"),
        ("1 [She] told [her] about the cook.\n", "no line such as"),
        ("", "no line such as"),
    ],
)
def test_winobias_mistakes(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BertologyError, match=message):
        winobias(tmp_path, text)


def test_winobias_lines_are_plain_text_to_read_corpus(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(WINOBIAS)
    assert read_corpus(path).sentences[3].words[:3] == ("4", "[The", "guard]")


@pytest.mark.parametrize(("kind", "count"), [("type1", 387), ("type2", 390)])
def test_winobias_counts(shared_file, kind: str, count: int) -> None:
    readings = {}
    for bias in ("pro", "anti"):
        path = shared_file(f"coref/winobias/{bias}_stereotyped_{kind}.txt.dev")
        with pytest.warns(UserWarning, match=f"{396 - count} of 396 lines"):
            readings[bias] = read_winobias(path)
        sentences = readings[bias].sentences
        assert len(sentences) == count
        kinds = [Counter(m.kind for m in s.mentions) for s in sentences]
        assert all(k["pronoun"] == 1 for k in kinds)
        # One line a file has a second competitor: another mention, or a third occupation.
        assert Counter(k["nominal"] for k in kinds) == {2: count - 1, 3: 1}


def test_gap_is_what_read_gap_reads(tmp_path: Path) -> None:
    corpus = gap(tmp_path, passage())
    assert read_gap(tmp_path / "gap.tsv") == corpus
