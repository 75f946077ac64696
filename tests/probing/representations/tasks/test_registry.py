"""Tasks by name, and tasks of the user's own."""

import pytest

from bertology import BertologyError
from bertology.corpora.text import words_to_sentence
from bertology.errors import CorpusError
from bertology.probing.representations.tasks import (
    TASKS,
    Item,
    Task,
    sentence_task,
    task_named,
    word_task,
)

SENTENCE = words_to_sentence(["Ann", "gave", "Bob", "tea"], id="s")


def test_every_task_has_its_own_name() -> None:
    assert {name: task.name for name, task in TASKS.items()} == {name: name for name in TASKS}
    assert {task.level for task in TASKS.values()} == {"word", "pair", "sentence"}


@pytest.mark.parametrize("name", ["postag", "feats", "feats:", "upos:x", ""])
def test_an_unknown_name_is_answered_with_those_there_are(name) -> None:
    with pytest.raises(BertologyError, match=r"upos, .*semantic_role.*feats:NAME.*proto_role:PRO"):
        task_named(name)


def test_a_task_of_words_is_a_line() -> None:
    capital = word_task(
        "capital", lambda s: ["yes" if w[0].isupper() else "no" for w in s.words], "words"
    )
    assert [item.label for item in capital.items(SENTENCE)] == ["yes", "no", "yes", "no"]


def test_a_task_of_sentences_is_a_line() -> None:
    even = sentence_task("even", lambda s: "odd" if len(s) % 2 else "even", "words")
    assert even.items(SENTENCE) == [Item(((0, 4),), "even")]


def test_a_task_of_pairs_is_a_function() -> None:
    def rhymes(sentence):
        return [
            Item(((i, i + 1), (i + 1, i + 2)), "same" if one[-1] == two[-1] else "other")
            for i, (one, two) in enumerate(zip(sentence.words, sentence.words[1:], strict=False))
        ]

    assert len(Task("endings", "pair", rhymes, "words").items(SENTENCE)) == 3


@pytest.mark.parametrize("count", [3, 5])
def test_a_label_for_every_word_or_none(count) -> None:
    task = word_task("mine", lambda s: ["x"] * count, "words")
    with pytest.raises(CorpusError, match=f"gives {count} labels for the 4 words of 's'"):
        task.items(SENTENCE)
    assert not word_task("mine", lambda s: [], "words").items(SENTENCE)
