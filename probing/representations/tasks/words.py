"""Tasks about single words: tags, features, relations, places in the tree, entities."""

from collections.abc import Callable, Sequence

from ....corpora import Sentence
from .task import UNLABELLED, Task, word_task
from .trees import depths, feature

#: Distances to the head beyond this one are one class.
MAX_DISTANCE = 5
#: Words this deep in the tree, or deeper, are one class.
MAX_DEPTH = 7

_TREE = "dependency trees (HEAD and DEPREL, columns 7 and 8)"


def features_task(name: str) -> Task:
    """A UD feature such as `Number`. Words that lack it are not asked about: with them the task
    would be to tell parts of speech apart."""

    def labels(sentence: Sentence) -> list[str]:
        return [feature(sentence, word, name) or UNLABELLED for word in range(len(sentence.feats))]

    return word_task(f"feats:{name}", labels, f"the feature {name} (FEATS, column 6)")


def head_distance(sentence: Sentence) -> list[str]:
    """Head minus word, in words: negative if the head stands before. Roots have none."""
    return [
        UNLABELLED if head < 0 else _capped(head - word, MAX_DISTANCE)
        for word, head in enumerate(sentence.heads)
    ]


def head_direction(sentence: Sentence) -> list[str]:
    """Where the head stands: `left` (before the word), `right`, or `root` for a word without."""
    return [
        "root" if head < 0 else "left" if head < word else "right"
        for word, head in enumerate(sentence.heads)
    ]


def tree_depth(sentence: Sentence) -> list[str]:
    """Edges between a word and the root (Hewitt & Manning 2019): 0 for the root itself."""
    return [_capped(depth, MAX_DEPTH) for depth in depths(sentence)]


def _capped(number: int, limit: int) -> str:
    if abs(number) < limit:
        return str(number)
    return f">={limit}" if number > 0 else f"<=-{limit}"


_LABELS: dict[str, tuple[Callable[[Sentence], Sequence[str]], str]] = {
    "upos": (lambda sentence: sentence.upos, "universal part-of-speech tags (UPOS, column 4)"),
    "xpos": (lambda sentence: sentence.xpos, "language-specific tags (XPOS, column 5)"),
    "deprel": (lambda sentence: sentence.deprels, "dependency relations (DEPREL, column 8)"),
    "head_distance": (head_distance, _TREE),
    "head_direction": (head_direction, _TREE),
    "tree_depth": (tree_depth, _TREE),
    "entity": (lambda sentence: sentence.entities, "named entities (IOB tags)"),
}
WORD_TASKS = [word_task(name, labels, needs) for name, (labels, needs) in _LABELS.items()]
