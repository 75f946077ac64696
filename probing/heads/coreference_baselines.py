"""What needs no model to find antecedents: the baselines of Clark et al. 2019, section 4.3.

They choose among the candidates that heads choose among (`spans.anaphors`):

`nearest`
    the candidate word nearest to the anaphor's head word; ties take the word before it.
`head_match`
    the nearest whose head word is the same, whatever its case; where there is none, wrong.
`rule_sieve`
    the nearest that passes the first of these sieves that lets any through: the same string, the
    same head word, agreement in number, gender and person, any (after Raghunathan et al. 2010).
`any`
    a candidate word drawn at random: not drawn, but its chance of being right.

Case is ignored. Number, gender and person of a head word are its UD features; where these say
nothing, a list of English pronouns does, and a mention that is no pronoun is of the third person.
What nothing is known of agrees with everything.
"""

from collections.abc import Iterator

from ...corpora import Sentence
from ...corpora.mentions import mention_type
from .spans import Anaphor

BASELINES = ("nearest", "head_match", "rule_sieve", "any")
_PROPERTIES = ("Person", "Number", "Gender")
_PRONOUNS = {
    ("1", "Sing", ""): "i me my mine myself",
    ("1", "Plur", ""): "we us our ours ourselves 's",
    ("2", "", ""): "you your yours",
    ("2", "Sing", ""): "yourself thou thee thy thine thyself",
    ("2", "Plur", ""): "yourselves ye y'all",
    ("3", "Sing", "Masc"): "he him his himself",
    ("3", "Sing", "Fem"): "she her hers herself",
    ("3", "Sing", "Neut"): "it its itself",
    ("3", "Sing", ""): "this that",
    ("3", "Plur", ""): "they them their theirs themselves 'em em these those",
}
_LISTED = {form: values for values, forms in _PRONOUNS.items() for form in forms.split()}
#: Of a word that is on no list.
_THIRD = ("3", "", "")


def baseline_scores(sentence: Sentence, anaphor: Anaphor) -> tuple[float, ...]:
    """What each of `BASELINES` scores on an anaphor: 1 or 0, and for `any` its chance."""
    right = dict(zip(anaphor.candidates, anaphor.correct, strict=True))
    sieves = list(_sieves(sentence, anaphor))
    _, same_head, _, everything = sieves
    first = next(passed for passed in sieves if passed)
    picked = [_nearest(anaphor, words) for words in (everything, same_head, first)]
    chance = sum(anaphor.correct) / len(anaphor.correct)
    return (*(float(word is not None and right[word]) for word in picked), chance)


def _nearest(anaphor: Anaphor, words: set[int]) -> int | None:
    def distance(word: int) -> tuple[int, bool]:
        return abs(word - anaphor.word), word > anaphor.word

    return min(words, key=distance, default=None)


def _sieves(sentence: Sentence, anaphor: Anaphor) -> Iterator[set[int]]:
    """The candidate words that each sieve lets through, the strictest first."""
    own = _string(sentence, anaphor.mention)
    yield {word for other, word in anaphor.others if _string(sentence, other) == own}
    form = sentence.words[anaphor.word].lower()
    yield {word for word in anaphor.candidates if sentence.words[word].lower() == form}
    properties = _properties(sentence, anaphor.mention, anaphor.word)
    yield {
        word
        for other, word in anaphor.others
        if _agree(properties, _properties(sentence, other, word))
    }
    yield set(anaphor.candidates)


def _string(sentence: Sentence, mention: int) -> str:
    span = sentence.mentions[mention]
    return " ".join(sentence.words[span.start : span.end]).lower()


def _properties(sentence: Sentence, mention: int, word: int) -> list[set[str]]:
    """Person, number and gender of a mention's head word; an empty set says that it is unknown."""
    listed = _THIRD
    if mention_type(sentence, sentence.mentions[mention]) == "pronoun":
        listed = _LISTED.get(sentence.words[word].lower(), _THIRD)
    feats = dict(
        feature.split("=", 1)
        for feature in (sentence.feats[word].split("|") if sentence.feats else ())
        if "=" in feature
    )
    # A feature may have several values: Gender=Fem,Masc.
    return [
        set(filter(None, feats.get(name, value).split(",")))
        for name, value in zip(_PROPERTIES, listed, strict=True)
    ]


def _agree(one: list[set[str]], other: list[set[str]]) -> bool:
    return all(not a or not b or a & b for a, b in zip(one, other, strict=True))
