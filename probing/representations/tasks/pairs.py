"""Tasks about pairs of spans (edge probing, Tenney et al. 2019): arcs, coreference, roles."""

from collections.abc import Sequence
from itertools import combinations

from ....corpora import Mention, Sentence
from .draws import generator_of
from .task import Item, Task

#: Ratings of "likely" and above lie over 1 on the normalised scale of Universal Decompositional
#: Semantics, all others, those that do not apply among them, below 0.4.
HOLDS = 0.5


def arcs(sentence: Sentence) -> list[Item]:
    """The relation of each (dependent, head); a root has no head to be paired with."""
    return [
        Item((_one(word), _one(head)), relation)
        for word, (head, relation) in enumerate(zip(sentence.heads, sentence.deprels, strict=True))
        if head >= 0
    ]


def coreferent_pairs(sentence: Sentence) -> list[Item]:
    """Pairs of mentions in one text, the first one first: `coreferent` or `different`.

    As many of either, so that neither the majority nor the text tells: of the more frequent kind
    a sample is drawn, seeded by the text. Mentions that overlap make no pair: one inside another
    is hardly ever coreferent with it, which the spans alone would tell.
    """
    ordered = sorted(sentence.mentions, key=lambda mention: (mention.start, mention.end))
    pairs = [pair for pair in combinations(ordered, 2) if pair[0].end <= pair[1].start]
    same = [pair for pair in pairs if pair[0].entity == pair[1].entity]
    different = [pair for pair in pairs if pair[0].entity != pair[1].entity]
    count = min(len(same), len(different))
    return [
        Item(((first.start, first.end), (second.start, second.end)), label)
        for label, kind in (("coreferent", same), ("different", different))
        for first, second in _sample(kind, count, sentence)
    ]


def _sample(
    pairs: Sequence[tuple[Mention, Mention]], count: int, sentence: Sentence
) -> list[tuple[Mention, Mention]]:
    drawn = generator_of(sentence.text).permutation(len(pairs))[:count]
    return [pairs[place] for place in sorted(drawn)]


def semantic_roles(sentence: Sentence) -> list[Item]:
    """The role of each (predicate, argument); `C-` (continued) and `R-` (relative) stay on it."""
    return [
        Item((_one(frame.predicate), (argument.start, argument.end)), argument.role)
        for frame in sentence.frames
        for argument in frame.arguments
    ]


def proto_role_task(name: str, above: float = HOLDS) -> Task:
    """Whether a property, such as `volition`, holds of (predicate, argument): `yes` or `no`.

    Args:
        above: it holds if its value is greater. Tenney et al. take ratings over 3 of 5: for
            values that are such ratings, give 3.
    """

    def items(sentence: Sentence) -> list[Item]:
        return [
            Item((_one(role.predicate), _one(role.argument)), "yes" if role.value > above else "no")
            for role in sentence.proto_roles
            if role.name == name
        ]

    return Task(f"proto_role:{name}", "pair", items, f"the semantic proto-role property {name!r}")


def _one(word: int) -> tuple[int, int]:
    return word, word + 1


PAIR_TASKS = [
    Task("arc", "pair", arcs, "dependency trees (HEAD and DEPREL, columns 7 and 8)"),
    Task("coreference", "pair", coreferent_pairs, "two mentions of one entity and one of another"),
    Task("semantic_role", "pair", semantic_roles, "predicates with arguments (PropBank frames)"),
]
