"""Which words stand for mentions and arguments, and what an anaphor may refer to."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...corpora import Mention, Sentence

#: Where the corpus has no tree, a span ends before the first of these that is not its first word.
_MODIFIER_STARTS = frozenset(
    (
        "of", "in", "on", "at", "to", "for", "from", "with", "by", "about", "as", "into", "over",
        "under", "between", "after", "before", "during", "without", "that", "which", "who", "whom",
        "whose", "where", "when", ",", ";", ":", "-", "--", "(", "[",
    )
)  # fmt: skip


def head_word(sentence: Sentence, start: int, end: int) -> int:
    """The word that stands for a span: the first whose head lies outside of it.

    Without a tree: the last word before the first preposition, relative or punctuation mark that
    is not the span's first word ("the king" of "the king of France, who …").
    """
    if sentence.heads:
        for word in range(start, end):
            if not start <= sentence.heads[word] < end:
                return word
    for word in range(start + 1, end):
        if sentence.words[word].lower() in _MODIFIER_STARTS:
            return word - 1
    return end - 1


@dataclass(frozen=True)
class Anaphor:
    """A mention with an antecedent, as its head word, and the head words it may refer to."""

    mention: int
    """Its number among the mentions of the text."""
    word: int
    candidates: tuple[int, ...]
    """Head words, without doubles and without its own, in the order of the text."""
    correct: tuple[bool, ...]
    """Whether a mention of the same entity has that head word."""


def anaphors(sentence: Sentence, candidates: str) -> list[Anaphor]:
    """Mentions of an entity that has another mention among the candidates.

    Args:
        candidates: `preceding` (mentions that begin before it), or `all` other mentions for
            passages that ask what a pronoun means: only mentions of the kind `pronoun` are then
            anaphors.
    """
    heads = [head_word(sentence, m.start, m.end) for m in sentence.mentions]
    found = []
    for number, mention in enumerate(sentence.mentions):
        if candidates == "all" and mention.kind != "pronoun":
            continue
        words: dict[int, bool] = {}
        for other, word in zip(sentence.mentions, heads, strict=True):
            if other is not mention and word != heads[number] and (
                candidates == "all" or _before(other, mention)
            ):  # fmt: skip
                words[word] = words.get(word, False) or other.entity == mention.entity
        if any(words.values()):
            order = sorted(words)
            correct = tuple(words[word] for word in order)
            found.append(Anaphor(number, heads[number], tuple(order), correct))
    return found


def _before(other: Mention, mention: Mention) -> bool:
    return (other.start, -other.end) < (mention.start, -mention.end)


@dataclass(frozen=True)
class Link:
    """A predicate and one of its arguments, as word pairs."""

    role: str
    predicate: int
    argument: tuple[int, ...]
    """The head word of the argument; all its words where the corpus has no tree."""


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

    None where the sentence has no other such pair.

    Args:
        words: how many the sentence has.
        seed: of the draw.
    """
    generator = np.random.default_rng(list(seed))
    taken = {(link.predicate, word) for link in linked for word in link.argument}
    found: list[Link | None] = []
    for link in linked:
        offsets = [word - link.predicate for word in link.argument]
        places = [
            place
            for place in range(words)
            if all(0 <= place + o < words and (place, place + o) not in taken for o in offsets)
        ]
        if places:
            place = int(generator.choice(places))
            found.append(Link(link.role, place, tuple(place + o for o in offsets)))
        else:
            found.append(None)
    return found
