"""What tasks read off dependency trees and UD features."""

from ....corpora import Sentence


def depths(sentence: Sentence) -> list[int]:
    """Edges between each word and the root above it; empty without a tree."""

    def depth(word: int) -> int:
        edges = 0
        while (word := sentence.heads[word]) >= 0:
            edges += 1
        return edges

    return [depth(word) for word in range(len(sentence.heads))]


def root_of(sentence: Sentence) -> int | None:
    """The one root; None without a tree, and in a passage of several sentences."""
    roots = [word for word, head in enumerate(sentence.heads) if head < 0]
    return roots[0] if len(roots) == 1 else None


def dependents(sentence: Sentence, head: int, *relations: str) -> list[int]:
    """The words that depend on a head by one of the relations."""
    return [
        word
        for word, (above, relation) in enumerate(zip(sentence.heads, sentence.deprels, strict=True))
        if above == head and relation in relations
    ]


def feature(sentence: Sentence, word: int, name: str) -> str | None:
    """The value of a UD feature, as it stands (`Sing`, `Int,Rel`); None without it."""
    if not sentence.feats:
        return None
    for entry in sentence.feats[word].split("|"):
        key, _, value = entry.partition("=")
        if key == name:
            return value
    return None
