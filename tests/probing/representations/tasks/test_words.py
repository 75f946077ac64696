"""Labels of single words, written out for three sentences."""

import pytest

from bertology.corpora.text import words_to_sentence
from bertology.probing.representations.tasks import task_named

LABELS = {
    "upos": (
        "DET NOUN VERB DET NOUN PUNCT",
        "PRON AUX VERB ADP PROPN",
        "ADV AUX DET ADJ NOUN PRON VERB PROPN PUNCT",
    ),
    "xpos": ("DT NNS VBP DT NN .", "PRP VBD VBN IN NNP", "WRB VBZ DT JJ NN WDT VBD NNP ."),
    "deprel": (
        "det nsubj root det obj punct",
        "nsubj:pass aux:pass root case obl:agent",
        "root cop det amod nsubj nsubj acl:relcl obj punct",
    ),
    "feats:Number": ("_ Plur _ _ Sing _", "Sing Sing _ _ Sing", "_ _ _ _ Sing _ _ Sing _"),
    "feats:PronType": ("_ _ _ _ _ _", "Prs _ _ _ _", "Int _ _ _ _ Rel _ _ _"),
    "head_distance": ("1 1 _ 1 -2 -3", "2 1 _ 1 -2", "_ -1 2 1 -4 1 -2 -1 <=-5"),
    "head_direction": (
        "right right root right left left",
        "right right root right left",
        "root left right right left right left left left",
    ),
    "tree_depth": ("2 1 0 2 1 1", "1 1 0 2 1", "0 1 2 2 1 3 2 3 1"),
    "entity": ("O O O O O O", "O O O O B-PER", "O O O O O O O B-PER O"),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_are_those_written_out(three, name) -> None:
    task = task_named(name)
    assert (task.name, task.level) == (name, "word")
    for sentence, labels in zip(three.sentences, LABELS[name], strict=True):
        labelled = [(place, label) for place, label in enumerate(labels.split()) if label != "_"]
        found = [(item.spans, item.label) for item in task.items(sentence)]
        assert found == [(((place, place + 1),), label) for place, label in labelled]


@pytest.mark.parametrize("name", LABELS)
def test_what_is_not_annotated_has_no_items(name) -> None:
    assert not task_named(name).items(words_to_sentence(["a", "b"], id="bare"))


def test_long_distances_and_deep_words_are_one_class() -> None:
    chain = words_to_sentence(["w"] * 9, id="chain", heads=tuple(range(-1, 8)), deprels=("x",) * 9)
    depths = [item.label for item in task_named("tree_depth").items(chain)]
    assert depths == ["0", "1", "2", "3", "4", "5", "6", ">=7", ">=7"]
    flat = words_to_sentence(["w"] * 7, id="flat", heads=(-1, *[0] * 6), deprels=("x",) * 7)
    distances = [item.label for item in task_named("head_distance").items(flat)]
    assert distances == ["-1", "-2", "-3", "-4", "<=-5", "<=-5"]
    last = words_to_sentence(["w"] * 7, id="last", heads=(*[6] * 6, -1), deprels=("x",) * 7)
    distances = [item.label for item in task_named("head_distance").items(last)]
    assert distances == [">=5", ">=5", "4", "3", "2", "1"]


@pytest.mark.parametrize(
    ("name", "items", "classes"),
    [("upos", 25147, 17), ("xpos", 25147, 49), ("deprel", 25147, 49), ("head_direction", 25147, 3),
     ("head_distance", 25147 - 2001, 10), ("tree_depth", 25147, 8)],
)  # fmt: skip
def test_counts_on_ewt(ewt_dev, name, items, classes) -> None:
    found = [
        item.label for sentence in ewt_dev.sentences for item in task_named(name).items(sentence)
    ]
    assert (len(found), len(set(found))) == (items, classes)
    if name == "head_direction":
        assert found.count("root") == 2001


def test_entities_of_real_files(shared_file) -> None:
    from bertology.corpora import read_corpus

    corpus = read_corpus(shared_file("ner/uner-en_ewt-ud-dev.iob2"))
    labels = [item.label for s in corpus.sentences for item in task_named("entity").items(s)]
    assert len(labels) == 25149
    assert [labels.count(f"B-{kind}") for kind in ("LOC", "ORG", "PER")] == [399, 224, 343]
