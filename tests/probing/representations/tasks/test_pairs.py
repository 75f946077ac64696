"""Pairs of spans: arcs, coreference, roles and proto-roles."""

from collections import Counter
from dataclasses import replace

import pytest

from bertology.corpora import Mention, read_corpus
from bertology.corpora.text import words_to_sentence
from bertology.probing.representations.tasks import Item, proto_role_task, task_named


def pairs(task, sentence):
    return [(*item.spans, item.label) for item in task.items(sentence)]


def test_arcs_are_dependent_and_head_with_the_relation(three) -> None:
    cats, seen, _ = three.sentences
    assert pairs(task_named("arc"), cats) == [
        ((0, 1), (1, 2), "det"),
        ((1, 2), (2, 3), "nsubj"),
        ((3, 4), (4, 5), "det"),
        ((4, 5), (2, 3), "obj"),
        ((5, 6), (2, 3), "punct"),
    ]
    assert [label for *_, label in pairs(task_named("arc"), seen)] == [
        "nsubj:pass", "aux:pass", "case", "obl:agent",
    ]  # fmt: skip


def test_roles_are_predicate_and_argument(three) -> None:
    found = [pairs(task_named("semantic_role"), sentence) for sentence in three.sentences]
    assert found == [[((2, 3), (0, 2), "ARG0"), ((2, 3), (3, 5), "ARG1")], [], []]


def test_proto_roles_hold_above_the_threshold(three) -> None:
    cats = three.sentences[0]
    assert pairs(task_named("proto_role:volition"), cats) == [
        ((2, 3), (1, 2), "yes"),
        ((2, 3), (4, 5), "no"),
    ]
    assert pairs(task_named("proto_role:existed_after"), cats) == [((2, 3), (4, 5), "yes")]
    assert pairs(proto_role_task("existed_after", above=3), cats) == [((2, 3), (4, 5), "no")]
    assert not task_named("proto_role:location").items(cats)


def test_coreferent_pairs_are_balanced_and_never_overlap(three) -> None:
    # Where (dog) … [the old dog [that] bit [Ann]]: two pairs of each kind that do not overlap
    # would be (Where, that) and (Where, the old dog …) against (Where, Ann) and (that, Ann).
    found = pairs(task_named("coreference"), three.sentences[2])
    assert found == [
        ((0, 1), (2, 8), "coreferent"),
        ((0, 1), (5, 6), "coreferent"),
        ((0, 1), (7, 8), "different"),
        ((5, 6), (7, 8), "different"),
    ]


def test_the_more_frequent_kind_is_sampled_by_text() -> None:
    words = [f"w{number}" for number in range(12)]
    mentions = tuple(Mention(f"e{number % 9}", number, number + 1) for number in range(12))
    one = words_to_sentence(words, id="one", mentions=mentions)
    task = task_named("coreference")
    labels = Counter(item.label for item in task.items(one))
    assert labels == {"coreferent": 3, "different": 3}
    # The sample hangs on the text alone; another text has another sample of the same places.
    assert task.items(replace(one, id="two", document="d")) == task.items(one)
    other = words_to_sentence([word.upper() for word in words], id="one", mentions=mentions)
    assert task.items(other) != task.items(one)
    same = {item.spans for item in task.items(one) if item.label == "coreferent"}
    assert same == {((k, k + 1), (k + 9, k + 10)) for k in range(3)}


@pytest.mark.parametrize("entities", ["abc", "aaa", ""])
def test_texts_with_one_kind_of_pair_have_no_items(entities) -> None:
    mentions = tuple(Mention(entity, i, i + 1) for i, entity in enumerate(entities))
    sentence = words_to_sentence(["x", "y", "z"], id="s", mentions=mentions)
    assert not task_named("coreference").items(sentence)


def test_a_kind_that_is_scarce_limits_the_other() -> None:
    mentions = tuple(Mention(entity, i, i + 1) for i, entity in enumerate("aaaab"))
    sentence = words_to_sentence(list("vwxyz"), id="s", mentions=mentions)
    labels = Counter(item.label for item in task_named("coreference").items(sentence))
    assert labels == {"coreferent": 4, "different": 4}


def test_counts_on_propbank_and_proto_roles(shared_file) -> None:
    def labels(name, file):
        corpus = read_corpus(shared_file(file))
        return [item.label for s in corpus.sentences for item in task_named(name).items(s)]

    roles = labels("semantic_role", "srl/ewt-dev-propbank.jsonl")
    assert (len(roles), len(set(roles)), roles.count("ARG1")) == (9567, 44, 3247)
    volition = labels("proto_role:volition", "srl/spr-uds-dev.jsonl")
    # 751 pairs, 119 of which are asked for time, place, manner and purpose only.
    assert len(volition) == 632
    assert len(labels("proto_role:time", "srl/spr-uds-dev.jsonl")) == 119


def test_coreference_on_gum_is_balanced(shared_file) -> None:
    corpus = read_corpus(shared_file("coref/gum/gum-dev-permissive.conllu"))
    items: list[Item] = [
        item for s in corpus.sentences for item in task_named("coreference").items(s)
    ]
    labels = Counter(item.label for item in items)
    assert labels["coreferent"] == labels["different"] > 600
    assert all(item.spans[0][1] <= item.spans[1][0] for item in items)
