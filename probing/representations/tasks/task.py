"""What a task is: the things it asks about in a sentence, each with a label."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ....corpora import Corpus, Sentence
from ....errors import CorpusError

#: What a label function gives for a word that has no label; CoNLL-U's own sign.
UNLABELLED = "_"


@dataclass(frozen=True)
class Item:
    """One thing to classify: a word, a pair of spans, or a whole sentence."""

    spans: tuple[tuple[int, int], ...]
    """Words of the sentence, ends exclusive: one span, or two for a pair."""
    label: str


@dataclass(frozen=True)
class Task:
    """A question that can be put to the hidden states of a corpus."""

    name: str
    level: Literal["word", "pair", "sentence"]
    items: Callable[[Sentence], Sequence[Item]]
    """The items of a sentence; none where it is not annotated."""
    needs: str
    """The annotation the labels come from, as a user would look for it in the file."""
    reads: Callable[[Corpus], Corpus] | None = None
    """Makes the corpus that the model reads in place of the one given, where it is another."""


def word_task(name: str, labels: Callable[[Sentence], Sequence[str]], needs: str) -> Task:
    """A task with a label for every word: `_` where a word has none, empty where none has.

    Its items raise a CorpusError where there are more labels or fewer than words.
    """

    def items(sentence: Sentence) -> list[Item]:
        own = labels(sentence)
        if len(own) not in (0, len(sentence)):
            raise CorpusError(
                f"The task {name!r} gives {len(own)} labels for the {len(sentence)} words of "
                f"{sentence.id!r}; give one for each, {UNLABELLED!r} where a word has none."
            )
        return [
            Item(((word, word + 1),), label)
            for word, label in enumerate(own)
            if label != UNLABELLED
        ]

    return Task(name, "word", items, needs)


def sentence_task(name: str, label: Callable[[Sentence], str], needs: str) -> Task:
    """A task with one label for a sentence: `_` where it has none."""

    def items(sentence: Sentence) -> list[Item]:
        own = label(sentence)
        return [] if own == UNLABELLED else [Item(((0, len(sentence)),), own)]

    return Task(name, "sentence", items, needs)
