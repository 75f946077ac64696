"""Texts with planted evidence: what decides the label is known word by word."""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations

import numpy as np

from ...corpora import Example, Examples, sample_treebank
from ...corpora.text import sha256_of, words_to_sentence
from ...errors import AttributionError

LABELS = ("negative", "positive")
#: The words of either class, and the words that are attended to for nothing.
CUES, SECOND_CUES = ("sullen", "verdant"), ("brackish", "limpid")
DECOYS = ("trumpet", "bassoon")
#: Carrier words of a text.
SHORTEST, LONGEST = 6, 12


@dataclass(frozen=True)
class Plant:
    """Words to be planted in one text."""

    words: tuple[str, ...]
    evidence: tuple[bool, ...]
    """Which of the words decide the label."""


@dataclass(frozen=True)
class Trap:
    """A way in which evidence can be hard to find."""

    name: str
    says: str
    """What a method must do, in a few words."""
    plant: Callable[[int, np.random.Generator], Plant]
    """The words for a text of a class."""
    flipped: dict[str, str]
    """For each word of evidence the word that takes its place when the cue is flipped."""
    places: tuple[tuple[str, ...], ...]
    """The words that can stand in each planted place."""
    enough: tuple[frozenset[int], ...]
    """Which places decide the label if they are all filled."""

    def reductions(self) -> list[tuple[tuple[str, ...], bool]]:
        """Each way to empty planted places: the words to remove, and whether the rest decides."""
        numbers = range(len(self.places))
        emptied = [own for size in numbers for own in combinations(numbers, size + 1)]
        return [
            (
                tuple(word for place in own for word in self.places[place]),
                any(not needed & {*own} for needed in self.enough),
            )
            for own in emptied
        ]


def _shortcut(label: int, generator: np.random.Generator) -> Plant:
    return Plant((CUES[label],), (True,))


def _conjunction(label: int, generator: np.random.Generator) -> Plant:
    first = int(generator.integers(2))
    second = first if label else 1 - first
    return Plant((_FIRST[first], _SECOND[second]), (True, True))


def _redundant(label: int, generator: np.random.Generator) -> Plant:
    return Plant((CUES[label], SECOND_CUES[label]), (True, True))


def _with_decoy(label: int, generator: np.random.Generator) -> Plant:
    return Plant((CUES[label], str(generator.choice(DECOYS))), (True, False))


def _swapped(*pairs: tuple[str, str]) -> dict[str, str]:
    return {word: other for one, two in pairs for word, other in ((one, two), (two, one))}


_FIRST, _SECOND = ("amber", "cobalt"), ("walnut", "willow")
_0, _1 = frozenset({0}), frozenset({1})
TRAPS = {
    trap.name: trap
    for trap in (
        Trap("shortcut", "one word decides", _shortcut, _swapped(CUES), (CUES,), (_0,)),
        Trap(
            "conjunction",
            "two words decide together, neither alone",
            _conjunction,
            _swapped(_SECOND),
            (_FIRST, _SECOND),
            (_0 | _1,),
        ),
        Trap(
            "redundant",
            "either of two words is enough",
            _redundant,
            _swapped(CUES, SECOND_CUES),
            (CUES, SECOND_CUES),
            (_0, _1),
        ),
        Trap(
            "ignored",
            "attention is on a word that does not matter",
            _with_decoy,
            _swapped(CUES),
            (CUES, DECOYS),
            (_0,),
        ),
        Trap(
            "moved",
            "an early layer carries the evidence elsewhere",
            _shortcut,
            _swapped(CUES),
            (CUES,),
            (_0,),
        ),
    )
}


def planted(trap: str, count: int, *, seed: int) -> Examples:
    """Texts of our own treebank, cut short, with the words of a trap planted at random places.

    Half of them are of either class, and `rationale` marks the evidence. Carrier words say
    nothing of the label.

    Raises:
        AttributionError: an unknown trap.
    """
    if trap not in TRAPS:
        raise AttributionError(f"The trap {trap!r} is unknown; choose from {', '.join(TRAPS)}.")
    generator = np.random.default_rng([seed, list(TRAPS).index(trap)])
    examples = tuple(_example(TRAPS[trap], number, generator) for number in range(count))
    name = f"planted evidence ({trap})"
    texts = "\n".join(example.sentence.text for example in examples)
    return Examples(name, examples, sha256_of(texts.encode()))


def lessons(trap: str, count: int, *, seed: int) -> Examples:
    """`planted` texts to learn from, and a third of them again without some planted words.

    Where what is left does not decide, the text comes with either label, so that a model learns
    to be undecided. Without this it may take one class for granted and never read its word.
    """
    whole = planted(trap, count, seed=seed)
    generator = np.random.default_rng([seed, list(TRAPS).index(trap), 1])
    reductions, reduced = TRAPS[trap].reductions(), []
    for example in whole.examples[: count // 3]:
        words, decides = reductions[int(generator.integers(len(reductions)))]
        (rest,) = without([example], words)
        reduced += [replace(rest, label=own) for own in LABELS if own == rest.label or not decides]
    return replace(whole, examples=(*whole.examples, *reduced))


def altered(examples: Sequence[Example], change: Callable[[str], str | None]) -> list[Example]:
    """The examples with the words of their evidence changed, or removed where that is None."""
    found = []
    for example in examples:
        pairs = zip(example.sentence.words, example.rationale, strict=True)
        words = [(change(word) if marked else word, marked) for word, marked in pairs]
        kept = [(word, marked) for word, marked in words if word is not None]
        found.append(_rewritten(example, kept))
    return found


def without(examples: Sequence[Example], words: Container[str]) -> list[Example]:
    """The examples without some words."""
    return [
        _rewritten(
            example,
            [
                (word, marked)
                for word, marked in zip(example.sentence.words, example.rationale, strict=True)
                if word not in words
            ],
        )
        for example in examples
    ]


def _rewritten(example: Example, words: Sequence[tuple[str, bool]]) -> Example:
    """The example with other words, each with its mark."""
    sentence = words_to_sentence([word for word, _ in words], id=example.id)
    return Example(sentence, None, example.label, tuple(marked for _, marked in words))


def vocabulary() -> list[str]:
    """All words that occur in planted texts, in sorted order."""
    planted_words = {
        word
        for trap in TRAPS.values()
        for seed in range(8)
        for label in (0, 1)
        for word in trap.plant(label, np.random.default_rng(seed)).words
    }
    carriers = {word for words in _carriers() for word in words}
    return sorted(planted_words | carriers)


def _example(trap: Trap, number: int, generator: np.random.Generator) -> Example:
    carriers = _carriers()
    words = list(carriers[int(generator.integers(len(carriers)))])
    length = int(generator.integers(SHORTEST, LONGEST + 1))
    start = int(generator.integers(max(1, len(words) - length + 1)))
    words = words[start : start + length]
    marks = [False] * len(words)
    label = number % 2
    plant = trap.plant(label, generator)
    for word, evidence in zip(plant.words, plant.evidence, strict=True):
        place = int(generator.integers(len(words) + 1))
        words.insert(place, word)
        marks.insert(place, evidence)
    sentence = words_to_sentence(words, id=f"text {number}")
    return Example(sentence, None, LABELS[label], tuple(marks))


@cache
def _carriers() -> list[tuple[str, ...]]:
    """Sentences of the sample treebank as lower-case words, without punctuation."""
    sentences = [
        tuple(word.lower() for word in sentence.words if any(map(str.isalpha, word)))
        for sentence in sample_treebank().sentences
    ]
    return [words for words in sentences if len(words) >= SHORTEST]
