"""Reading CoNLL-U, and the message for every kind of mistake."""

from collections import Counter
from pathlib import Path

import pytest

from bertology import BertologyError
from bertology.corpora import Mention, read_conllu, read_corpus

GOOD = """# newdoc id = one
# sent_id = s1
# text = He didn't go.
1\tHe\the\tPRON\tPRP\t_\t4\tnsubj\t_\tEntity=(1-person-new)
2-3\tdidn't\t_\t_\t_\t_\t_\t_\t_\t_
2\tdid\tdo\tAUX\tVBD\t_\t4\taux\t_\t_
3\tn't\tnot\tPART\tRB\t_\t4\tadvmod\t_\tEntity=(2-x(3-y-new)
3.1\tgone\tgo\tVERB\t_\t_\t_\t_\t4:conj\t_
4\tgo\tgo\tVERB\tVB\t_\t0\troot\t_\tEntity=2)
5\t.\t.\tPUNCT\t.\t_\t4\tpunct\t_\tSpaceAfter=No

"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "test.conllu"
    path.write_text(text, encoding="utf-8")
    return path


def test_words_heads_and_documents(tmp_path: Path) -> None:
    corpus = read_conllu(written(tmp_path, GOOD))
    (sentence,) = corpus.sentences
    # Ranges and empty nodes are not words; the text is the words joined by single spaces.
    assert sentence.text == "He did n't go ."
    assert sentence.words == ("He", "did", "n't", "go", ".")
    assert sentence.heads == (3, 3, 3, -1, 3)
    assert sentence.deprels == ("nsubj", "aux", "advmod", "root", "punct")
    assert (sentence.id, sentence.document) == ("s1", "one")
    assert sentence.mentions == (
        Mention("1", 0, 1, "person"),
        Mention("2", 2, 4, "x"),
        Mention("3", 2, 3, "y"),
    )


MISTAKES = {
    "columns": (GOOD.replace("\tSpaceAfter=No", ""), "line 10.*9 tab-separated columns"),
    "number": (GOOD.replace("5\t.", "x\t."), "line 10.*'x' is not a number"),
    "gap": (GOOD.replace("5\t.", "6\t."), "line 10.*word number 6 where 5"),
    "head": (GOOD.replace("4\tpunct", "9\tpunct"), "line 10.*'9' is not a number from 0 to 5"),
    "two roots": (GOOD.replace("4\tpunct", "0\tpunct"), "line 10.*2 roots"),
    "no root": (GOOD.replace("0\troot", "1\troot"), "0 roots"),
    "cycle": (
        GOOD.replace("4\taux", "3\taux").replace("4\tadvmod", "2\tadvmod"),
        "line 6.*cycle",
    ),
    "no relation": (GOOD.replace("\tpunct", "\t_"), "line 10.*no relation"),
    "unopened entity": (GOOD.replace("SpaceAfter=No", "Entity=9)"), "line 10.*'9', which is not"),
    "crossed closing": (GOOD.replace("(1-person-new)", "1)"), "line 4.*'1', which is not open"),
    "unknown brackets": (GOOD.replace("(1-person-new)", "1-person-new"), "line 4.*no brackets"),
    "half a bracket": (GOOD.replace("(1-person-new)", "(1-person-new)("), "line 4.*no brackets"),
    "unclosed entity": (GOOD.replace("Entity=2)", "_"), "line 7.*'2' is never closed"),
    "empty": ("# just a comment\n\n", "no sentence"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_name_the_line(tmp_path: Path, name: str) -> None:
    text, message = MISTAKES[name]
    with pytest.raises(BertologyError, match=message):
        read_conllu(written(tmp_path, text))


def test_parts_of_a_discontinuous_mention_are_of_one_entity(tmp_path: Path) -> None:
    text = GOOD.replace("(2-x(3-y-new)", "(2[1/2]-x)(3-y(2[2/2]-x").replace(
        "Entity=2)", "Entity=2[2/2])3)"
    )
    (sentence,) = read_conllu(written(tmp_path, text)).sentences
    assert sentence.mentions[1:] == (
        Mention("2", 2, 4, "x"),
        Mention("3", 2, 4, "y"),
        Mention("2", 2, 3, "x"),
    )


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(BertologyError, match="no file"):
        read_corpus(tmp_path / "none.conllu")
    with pytest.raises(BertologyError, match="is a folder"):
        read_corpus(tmp_path)


def test_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "latin.conllu"
    path.write_bytes("1\tcafé".encode("latin-1"))
    with pytest.raises(BertologyError, match="not UTF-8"):
        read_conllu(path)


def test_treebank_without_trees(tmp_path: Path) -> None:
    lines = [f"{i}\t{w}\t_\t_\t_\t_\t_\t_\t_\t_" for i, w in enumerate(["so", "what"], 1)]
    (sentence,) = read_conllu(written(tmp_path, "\n".join(lines) + "\n\n")).sentences
    assert sentence.heads == () and sentence.deprels == ()


def test_unicode_line_separator_inside_a_form(tmp_path: Path) -> None:
    text = GOOD.replace("\tgo\tgo\t", "\tgo\u2028on\tgo\t")
    assert "go\u2028on" in read_conllu(written(tmp_path, text)).sentences[0].text


def test_ewt_dev(shared_file) -> None:
    corpus = read_corpus(shared_file("ud/en_ewt-ud-dev.conllu"))
    assert len(corpus) == 2001
    assert len(corpus.documents) == 318
    assert sum(len(s) for s in corpus.sentences) == 25147
    assert len({label for s in corpus.sentences for label in s.deprels}) == 49


def test_gum_mentions(shared_file) -> None:
    corpus = read_corpus(shared_file("coref/gum/gum-dev-permissive.conllu"))
    assert (len(corpus), len(corpus.documents)) == (438, 12)
    sizes = Counter((s.document, m.entity) for s in corpus.sentences for m in s.mentions)
    assert (sizes.total(), len(sizes)) == (2993, 1589)
    assert sum(size > 1 for size in sizes.values()) == 421
