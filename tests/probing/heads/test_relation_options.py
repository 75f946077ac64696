"""Named variants of the relation analysis: labels, what `all` holds, rows of words, languages."""

import numpy as np
import pytest
import torch

from bertology import BertologyError
from bertology.capture import capture
from bertology.corpora import Corpus, read_conllu
from bertology.corpora.text import text_to_sentence, words_to_sentence
from bertology.probing.heads import (
    Dependents,
    WordMaps,
    best_heads,
    gold_dependents,
    predict_heads,
    relation_table,
    scan_heads,
)
from bertology.probing.heads.examples import hits_and_misses
from bertology.probing.heads.options import ScanOptions
from bertology.probing.heads.relations import OFFSETS, score

PASSIVE = words_to_sentence(
    ["it", "was", "said", "that", "dogs", "bark", "."],
    id="s",
    heads=(2, 2, -1, 5, 5, 2, 2),
    deprels=("expl", "aux:pass", "root", "mark", "nsubj", "csubj:pass", "punct"),
)
ONES = [np.ones(7, int)]


def test_merged_labels_drop_subtypes() -> None:
    fine = gold_dependents([PASSIVE], ONES, [0])
    merged = gold_dependents([PASSIVE], ONES, [0], labels="universal")
    assert "aux:pass" in fine.relations and "aux" not in fine.relations
    assert "aux" in merged.relations and "aux:pass" not in merged.relations
    assert len(fine.of("all")) == len(merged.of("all")) == 5
    with pytest.raises(BertologyError, match="labels is 'coarse'; it must be one of subtypes"):
        gold_dependents([PASSIVE], ONES, [0], labels="coarse")


def test_all_of_every_word_counts_punctuation_and_a_root_that_nothing_gets_right() -> None:
    scored = gold_dependents([PASSIVE], ONES, [0])
    every = gold_dependents([PASSIVE], ONES, [0], all_words="every")
    assert "root" not in every.relations and len(every.of("all")) == 7
    # A perfect head, but that the root, having no head to point to, points at nothing (-1).
    heads = np.array(PASSIVE.heads)
    predictions = [(0, heads[:, None, None, None].repeat(2, 3))]
    table = {}
    for name, dependents in (("scored", scored), ("every", every)):
        correct = score(dependents, predictions)
        table[name] = relation_table(dependents, correct, seed=0).set_index("relation")
        assert "root" not in table[name].index  # in neither case a row of its own
    assert table["scored"].loc["all", ["n", "accuracy"]].to_numpy().tolist() == [[5, 1.0]] * 2
    all_words = table["every"].loc["all"].iloc[0]
    assert (all_words["n"], all_words["accuracy"]) == (7, pytest.approx(6 / 7))
    # The rows of single relations are the same.
    assert table["every"].drop("all").equals(table["scored"].drop("all"))
    with pytest.raises(BertologyError, match="all_words is 'most'; it must be one of scored"):
        gold_dependents([PASSIVE], ONES, [0], all_words="most")


def test_no_offset_gets_a_root_right() -> None:
    # A root in first place has -1 for a head, which is one word before it.
    root_first = words_to_sentence(
        ["go", "home"], id="s", heads=(-1, 0), deprels=("root", "advmod")
    )
    dependents = gold_dependents([root_first], [np.ones(2)], [0], all_words="every")
    assert dependents.offset_correct()[:, OFFSETS.index(-1)].tolist() == [False, True]


def test_a_root_without_tokens_is_left_out() -> None:
    tokens = [np.array([1, 1, 0, 1, 1, 1, 1])]
    every = gold_dependents([PASSIVE], tokens, [0], all_words="every")
    # The root and the four words whose head it is.
    assert every.left_out == 5 and every.head.tolist() == [5, 5]


@pytest.mark.parametrize(("right", "syntactic"), [(239, False), (240, True)])
def test_a_head_is_syntactic_from_ten_points_over_the_baseline(right: int, syntactic: bool) -> None:
    # The best offset gets 200 of 400; ten points more are 240.
    places = np.arange(400)
    heads = np.where(places % 4 < 2, 11, 15)
    dependents = Dependents(
        places, np.full(400, 10), heads, np.full(400, "obj"), places % 20, np.full(400, 30), 0
    )
    correct = np.zeros((400, 1, 1, 2), bool)
    correct[:right, 0, 0, 0] = True
    row = best_heads(dependents, correct, seed=0).set_index("relation").loc["obj"]
    assert row["baseline_accuracy"] == 0.5 and row["accuracy"] == right / 400
    assert row["syntactic"] == syntactic


def test_a_head_that_only_one_half_knows_is_not_syntactic() -> None:
    units = np.repeat(np.arange(20), 4)
    dependents = Dependents(
        np.arange(80), np.full(80, 10), np.full(80, 15), np.full(80, "obj"), units,
        np.full(80, 30), 0,
    )  # fmt: skip
    correct = np.zeros((80, 1, 2, 2), bool)
    correct[units % 2 == 0, 0, 0, 0] = True
    correct[units % 2 == 1, 0, 1, 0] = True
    assert not best_heads(dependents, correct, seed=0)["syntactic"].any()
    correct[:, 0, 0, 0] = True
    assert best_heads(dependents, correct, seed=0)["syntactic"].all()


class Rows:
    """An encoding of which only the words of its tokens matter."""

    def __init__(self, words: list[int]) -> None:
        self.words = np.array(words)
        self.sentence = [""] * (max(words) + 1)


ATTENTION = torch.tensor([[0.2, 0.3, 0.5], [0.1, 0.6, 0.3], [0.4, 0.2, 0.4]])


class Block:
    """All rows of one head at one site."""

    site, rows, keys = "L0", slice(None), slice(None)

    def __init__(self, attention: torch.Tensor) -> None:
        self.attention = attention


@pytest.mark.parametrize("texts", [1, 3])
@pytest.mark.parametrize(("rows", "expected"), [("mean", 0.25), ("first", 0.1)])
def test_rows_of_a_split_word(rows: str, expected: float, texts: int) -> None:
    # Words {0} and {1, 2}: the second pays the first (.1 + .4) / 2, or .1 in its first row; both
    # columns of the second are summed, .3 + .5. What a word pays to itself is dropped.
    encodings = [Rows([0, 1, 1])] * texts
    maps = WordMaps(encodings, torch.ones(texts, 3), rows)
    maps.observe(Block(ATTENTION.expand(texts, 1, 3, 3)))
    found = maps.of("L0")
    for text in range(texts):
        assert torch.allclose(found[text, 0], torch.tensor([[0.0, 0.8], [expected, 0.0]]))


def between_words(attention: np.ndarray, words: np.ndarray, rows: str) -> np.ndarray:
    """Word maps by loops over words: (layer, head, word, word), zero on the diagonal."""
    count = words.max() + 1
    maps = np.zeros((*attention.shape[:2], count, count))
    for i in range(count):
        own = np.flatnonzero(words == i)
        own = own if rows == "mean" else own[:1]
        for j in set(range(count)) - {i}:
            maps[:, :, i, j] = attention[:, :, own][..., words == j].sum(-1).mean(-1)
    return maps


ARABIC = """\
# sent_id = ar
1	قرأ	قرأ	VERB	_	_	0	root	_	_
2	الطالب	طالب	NOUN	_	_	1	nsubj	_	_
3	الكتاب	كتاب	NOUN	_	_	1	obj	_	_
4	الجديد	جديد	ADJ	_	_	3	amod	_	_
5	؟	؟	PUNCT	_	_	1	punct	_	_

"""
CHINESE = """\
# sent_id = zh
1	他	他	PRON	_	_	4	nsubj:pass	_	_
2	没有	没有	ADV	_	Polarity=Neg	4	advmod:neg	_	_
3	被	被	AUX	_	_	4	aux:pass	_	_
4	看见	看见	VERB	_	_	0	root	_	_
5	。	。	PUNCT	_	_	4	punct	_	_

"""
ENGLISH = """\
# sent_id = en
1	Unbelievably	unbelievably	ADV	_	_	4	advmod	_	_
2	the	the	DET	_	_	3	det	_	_
3	archaeologists	archaeologist	NOUN	_	_	4	nsubj	_	_
4	reburied	rebury	VERB	_	_	0	root	_	_
5	Tutankhamun	Tutankhamun	PROPN	_	_	4	obj	_	_

"""


@pytest.fixture(scope="module")
def languages(tmp_path_factory) -> Corpus:
    path = tmp_path_factory.mktemp("languages") / "three.conllu"
    path.write_text(ARABIC + CHINESE + ENGLISH, encoding="utf-8")
    return read_conllu(path)


@pytest.mark.parametrize("rows", ["mean", "first"])
@pytest.mark.parametrize("together", [True, False])
def test_predictions_in_any_script_are_those_of_loops_over_words(
    rows: str, together: bool, demo, languages
) -> None:
    options = ScanOptions(word_rows=rows)
    parts = [languages] if together else [
        Corpus(s.id, (s,), s.id) for s in languages.sentences
    ]  # fmt: skip
    scans = [scan_heads(demo, part, options=options) for part in parts]
    found = [answers for scan in scans for answers in scan.predictions]
    split = 0
    for sentence, answers in zip(languages.sentences, found, strict=True):
        whole = capture(demo, sentence)[0]
        words = whole.encoding.words
        split += (np.bincount(words[words >= 0]) > 1).sum()
        expected = predict_heads(between_words(np.array(whole.attention), words, rows))
        assert answers.shape == (6, 12, 2, 5)
        assert (answers == expected).all()
    assert split >= 8  # most words have several tokens, so their rows matter


def test_variants_of_rows_differ(demo, languages) -> None:
    mean, first = (
        scan_heads(demo, languages, options=ScanOptions(word_rows=rows)).predictions
        for rows in ("mean", "first")
    )
    assert any((a != b).any() for a, b in zip(mean, first, strict=True))


def test_relations_of_other_languages(demo, languages) -> None:
    scan = scan_heads(demo, languages)
    named = scan.sentences, scan.word_tokens, scan.units
    fine, merged = gold_dependents(*named), gold_dependents(*named, labels="universal")
    assert fine.left_out == 0
    assert {"nsubj", "obj", "amod", "nsubj:pass", "advmod:neg"} < set(fine.relations)
    assert len(merged.of("nsubj")) == 3 and len(fine.of("nsubj")) == 2
    assert len(fine.of("all")) == 10  # fifteen words, three roots, two marks of punctuation
    # Word order is that of the text, whichever way it is written: the subject follows the verb.
    subject = fine.of("nsubj")[0]
    assert (fine.word[subject], fine.head[subject]) == (1, 0)


def test_hits_and_misses_of_a_head_of_choice(demo, sample) -> None:
    scan = scan_heads(demo, sample.first(60))
    shown = hits_and_misses(scan, "obj", 2, 0)
    assert shown["correct"].tolist() == [True] * 3 + [False] * 3
    assert (shown["gold"] == shown["predicted"])[:3].all()
    for row in shown.itertuples():
        text = row.words.split(" ")
        sentence = next(s for s in sample.sentences if s.id == row.sentence_id)
        assert list(sentence.words) == text and {row.dependent, row.gold} < set(text)
        place = next(
            i for i, word in enumerate(text)
            if word == row.dependent and sentence.deprels[i] == "obj"
        )  # fmt: skip
        assert text[sentence.heads[place]] == row.gold
    assert shown.equals(hits_and_misses(scan, "obj", 2, 0))
    assert not shown.equals(hits_and_misses(scan, "obj", 2, 0, seed=1))
    assert len(hits_and_misses(scan, "all", 0, 0, "head_to_dependent", each=5)) == 10
    merged = hits_and_misses(scan, "aux", 2, 0, labels="universal", each=100)
    assert len(merged) >= len(hits_and_misses(scan, "aux", 2, 0, each=100))


def test_what_is_not_there_is_named(demo, sample) -> None:
    scan = scan_heads(demo, sample.first(12))
    with pytest.raises(BertologyError, match=r"no L6H0; this model has L0H0 to L5H11"):
        hits_and_misses(scan, "obj", 6, 0)
    with pytest.raises(BertologyError, match=r"no L0H-1;"):
        hits_and_misses(scan, "obj", 0, -1)
    with pytest.raises(BertologyError, match="direction is 'up'; it must be one of dependent_to"):
        hits_and_misses(scan, "obj", 0, 0, "up")
    with pytest.raises(BertologyError, match="has the relation 'dobj'; there are all, "):
        hits_and_misses(scan, "dobj", 0, 0)
    plain = Corpus("plain", (text_to_sentence("No tree here", id="s"),), "0")
    with pytest.raises(BertologyError, match="there are none: it has no trees"):
        hits_and_misses(scan_heads(demo, plain), "obj", 0, 0)
