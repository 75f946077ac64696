"""Labels of sentences, written out, and against files that others derived from the same trees."""

from dataclasses import replace

import pytest

from bertology.corpora import read_conllu, read_senteval
from bertology.corpora.text import words_to_sentence
from bertology.probing.representations.tasks import task_named

LABELS = {
    "sentence_length": ("5-8", "5-8", "9-12"),
    "sentence_depth": ("2", "2", "3"),
    # A pronoun has a number too, but is not asked about; Ann is a name.
    "subject_number": ("Plur", "_", "Sing"),
    "object_number": ("Sing", "_", "_"),
    "tense": ("Pres", "Past", "Pres"),
    "voice": ("active", "passive", "active"),
    "label": ("true", "false", "_"),
    "bigram_shift": ("_", "_", "_"),
}


def label_of(name, sentence):
    items = task_named(name).items(sentence)
    assert all(item.spans == ((0, len(sentence)),) for item in items)
    return items[0].label if items else "_"


@pytest.mark.parametrize("name", LABELS)
def test_labels_are_those_written_out(three, name) -> None:
    assert task_named(name).level == "sentence"
    assert tuple(label_of(name, sentence) for sentence in three.sentences) == LABELS[name]


@pytest.mark.parametrize("name", sorted(set(LABELS) - {"sentence_length"}))
def test_what_is_not_annotated_has_no_item(name) -> None:
    assert label_of(name, words_to_sentence(["a"] * 6, id="bare")) == "_"


def test_passages_of_several_sentences_have_no_main_clause(three) -> None:
    two = replace(three.sentences[0], heads=(1, 2, -1, 4, -1, 2))
    for name in ("sentence_depth", "subject_number", "object_number", "tense", "voice"):
        assert label_of(name, three.sentences[0]) != "_"
        assert label_of(name, two) == "_"


def test_lengths_have_the_classes_of_senteval() -> None:
    lengths = {size: label_of("sentence_length", words_to_sentence(["w"] * size, id="s"))
               for size in range(1, 31)}  # fmt: skip
    expected = ["_"] * 4 + ["5-8"] * 4 + ["9-12"] * 4 + ["13-16"] * 4 + ["17-20"] * 4
    expected += ["21-25"] * 5 + ["26-28"] * 3 + ["_"] * 2
    assert list(lengths.values()) == expected


@pytest.mark.parametrize(("words", "label"), [(1, "<=1"), (2, "<=1"), (3, "2"), (7, "6"),
                                              (8, ">=7"), (12, ">=7")])  # fmt: skip
def test_depths_are_capped_at_both_ends(words, label) -> None:
    chain = words_to_sentence(
        ["w"] * words, id="s", heads=tuple(range(-1, words - 1)), deprels=("x",) * words
    )
    assert label_of("sentence_depth", chain) == label


def test_an_outer_subject_is_not_the_subject(three) -> None:
    outer = replace(three.sentences[0], deprels=("det", "nsubj:outer", "root", "det", "obj", "x"))
    assert label_of("subject_number", outer) == "_"


def test_a_passive_subject_is_one(three) -> None:
    passive = replace(three.sentences[0], deprels=("det", "nsubj:pass", "root", "det", "obj", "x"))
    assert label_of("subject_number", passive) == "Plur"


def test_a_modal_has_no_tense(three) -> None:
    seen = three.sentences[1]
    modal = replace(seen, feats=(seen.feats[0], "VerbForm=Fin", *seen.feats[2:]))
    assert label_of("tense", modal) == "_"


def depth_of(derived: str) -> str:
    """The other's depth counts words, and is capped at 2 and 8."""
    return {"2": "<=1", "8": ">=7"}.get(derived, str(int(derived) - 1))


ORACLES = [
    ("sentence_length", "sentence_length", 1361, str),
    ("sentence_depth", "tree_depth", 1361, depth_of),
    ("subject_number", "subj_number", 135, str),
    ("object_number", "obj_number", 310, str),
    ("tense", "tense", 453, str),
    ("voice", "voice", 236, str),
]


@pytest.mark.parametrize(("name", "file", "count", "meant"), ORACLES)
def test_every_label_agrees_with_one_derived_by_others(
    ewt_dev, shared_file, name, file, count, meant
) -> None:
    derived = read_senteval(shared_file(f"probing/ewt/{file}.tsv"))["va"].sentences
    own = {sentence.id: label_of(name, sentence) for sentence in ewt_dev.sentences}
    assert len(derived) == count
    assert [own[s.id] for s in derived] == [meant(s.label or "") for s in derived]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "file", "count", "meant"), ORACLES)
def test_every_training_label_agrees_too(shared_file, name, file, count, meant) -> None:
    derived = read_senteval(shared_file(f"probing/ewt/{file}.tsv"))["tr"].sentences
    train = read_conllu(shared_file("ud/en_ewt-ud-train.conllu"))
    own = {sentence.id: label_of(name, sentence) for sentence in train.sentences}
    assert len(derived) > count
    assert [own[s.id] for s in derived] == [meant(s.label or "") for s in derived]
