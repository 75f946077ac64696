"""Which words stand for mentions and arguments, and what an anaphor may refer to."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...corpora import Sentence
from ...corpora.mentions import head_word


@dataclass(frozen=True)
class Anaphor:
    """A mention with an antecedent, as its head word, and the head words it may refer to."""

    mention: int
    """Its number among the mentions of the text."""
    word: int
    others: tuple[tuple[int, int], ...]
    """The mentions it may refer to: the number of each, and its head word."""
    candidates: tuple[int, ...]
    """Their head words without doubles, in the order of the text."""
    correct: tuple[bool, ...]
    """Whether a mention of the same entity has that head word."""


def anaphors(sentence: Sentence, candidates: str) -> list[Anaphor]:
    """Mentions of an entity that has another mention among the candidates.

    Args:
        candidates: `preceding` (mentions that begin before it and whose head word stands before
            its own), or `all` other mentions for passages that ask what a pronoun means: only
            mentions of the kind `pronoun` are then anaphors. A mention with the same head word
            is never a candidate.
    """
    heads = [head_word(sentence, m.start, m.end) for m in sentence.mentions]
    found = []
    for number, mention in enumerate(sentence.mentions):
        if candidates == "all" and mention.kind != "pronoun":
            continue
        right: dict[int, bool] = {}
        others = []
        for other, word in sorted(enumerate(heads), key=lambda pair: pair[1]):
            before = sentence.mentions[other].start < mention.start and word < heads[number]
            if word != heads[number] and (before or candidates == "all"):
                others.append((other, word))
                same = sentence.mentions[other].entity == mention.entity
                right[word] = right.get(word, False) or same
        if any(right.values()):
            found.append(
                Anaphor(number, heads[number], tuple(others), tuple(right), tuple(right.values()))
            )
    return found


@dataclass(frozen=True)
class Link:
    """A predicate and one of its arguments, as word pairs."""

    role: str
    predicate: int
    argument: tuple[int, ...]
    """The head word of the argument; all its words where the corpus has no tree."""

    @property
    def pairs(self) -> list[frozenset[int]]:
        """The predicate with each word of the argument."""
        return [frozenset((self.predicate, word)) for word in self.argument]

    def moved(self, by: int) -> "Link":
        """The same link so many words further on."""
        argument = tuple(word + by for word in self.argument)
        return Link(self.role, self.predicate + by, argument)


def links(sentence: Sentence) -> list[Link]:
    """The predicate–argument links of a sentence, in order; arguments on the predicate left out."""
    found = []
    for frame in sentence.frames:
        for argument in frame.arguments:
            if argument.start <= frame.predicate < argument.end:
                continue
            words: Sequence[int] = range(argument.start, argument.end)
            if sentence.heads:
                words = [head_word(sentence, argument.start, argument.end)]
            found.append(Link(argument.role, frame.predicate, tuple(words)))
    return found


def shuffled(linked: Sequence[Link], words: int, seed: Sequence[int]) -> list[Link | None]:
    """For each link a word pair of the same sentence, as far apart in the same direction.

    No pair of words that is linked, in whatever direction, and none twice; None where the sentence
    has no other such pair.

    Args:
        words: how many the sentence has.
        seed: of the draw.
    """
    generator = np.random.default_rng(list(seed))
    taken = {pair for link in linked for pair in link.pairs}
    found: list[Link | None] = []
    for link in linked:
        first, *_, last = sorted((link.predicate, *link.argument))
        moved = [link.moved(by) for by in range(-first, words - last)]
        free = [other for other in moved if taken.isdisjoint(other.pairs)]
        chosen = free[int(generator.integers(len(free)))] if free else None
        found.append(chosen)
        taken.update(chosen.pairs if chosen else [])
    return found
