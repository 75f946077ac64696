"""The word that stands for a mention, and whether it is a pronoun, a name or a noun."""

from collections.abc import Sequence

from .text import Mention, Sentence

#: What a mention can be.
TYPES = ("pronoun", "proper", "nominal")
#: Universal and Penn tags; every other one is nominal.
_TYPES_OF_TAGS = {
    **dict.fromkeys(("PRON", "PRP", "PRP$", "WP", "WP$"), "pronoun"),
    **dict.fromkeys(("PROPN", "NNP", "NNPS"), "proper"),
}
#: Tags of words that are pronouns where they are the whole mention ("that is mine").
_DETERMINERS = frozenset(("DET", "DT", "WDT", "PDT"))
#: The English words that are pronouns whatever stands beside them.
PRONOUNS = frozenset(
    (
        "i", "me", "my", "mine", "myself", "we", "us", "our", "ours", "ourselves", "you", "your",
        "yours", "yourself", "yourselves", "he", "him", "his", "himself", "she", "her", "hers",
        "herself", "it", "its", "itself", "they", "them", "their", "theirs", "themselves",
        "themself", "thou", "thee", "thy", "thine", "thyself", "ye", "this", "that", "these",
        "those", "who", "whom", "whose", "which", "what", "whoever", "whatever", "oneself",
        "someone", "somebody", "something", "anyone", "anybody", "anything", "everyone",
        "everybody", "everything", "nobody", "nothing", "'em", "em", "'s", "y'all",
    )
)  # fmt: skip
_NO_PRONOUNS = frozenset(("US", "IT", "WHO"))
#: Where the corpus has no tree, a span ends before the first of these that is not its first word.
_MODIFIER_STARTS = frozenset(
    (
        "of", "in", "on", "at", "to", "for", "from", "with", "by", "about", "as", "into", "over",
        "under", "between", "after", "before", "during", "without", "that", "which", "who", "whom",
        "whose", "where", "when", ",", ";", ":", "-", "--", "(", "[",
    )
)  # fmt: skip
_POSSESSIVE = frozenset(("'s", "’s", "'", "’"))


def head_word(sentence: Sentence, start: int, end: int) -> int:
    """The word that stands for a span: the first whose head lies outside of it.

    Without a tree: the last word, but for a possessive mark, before the first preposition,
    relative or punctuation mark that is not the span's first word ("the king" of "the king of
    France, who …").
    """
    if sentence.heads:
        for word in range(start, end):
            if not start <= sentence.heads[word] < end:
                return word
    for word in range(start + 1, end):
        if sentence.words[word].lower() in _MODIFIER_STARTS:
            end = word
            break
    if end - start > 1 and sentence.words[end - 1] in _POSSESSIVE:
        end -= 1
    return end - 1


def mention_type(sentence: Sentence, mention: Mention) -> str:
    """`pronoun`, `proper` or `nominal`.

    By the universal part of speech of the head word (a determiner alone is a pronoun); where there
    is none, what the reader said in `Mention.kind`; else by the Penn tag of the head word; else by
    its form: one of `PRONOUNS`, or `proper` if it is capitalised. The form misleads where a noun
    begins a sentence ("Children …") and in languages that capitalise nouns.
    """
    head = head_word(sentence, mention.start, mention.end)
    alone = mention.end - mention.start == 1
    if tag := _tag(sentence.upos, head):
        return _type_of_tag(tag, alone)
    if mention.kind in TYPES:
        return mention.kind
    if tag := _tag(sentence.xpos, head):
        return _type_of_tag(tag, alone)
    return _type_of_form(sentence.words[head])


def _tag(tags: Sequence[str], word: int) -> str:
    return tags[word].replace("_", "") if tags else ""


def _type_of_tag(tag: str, alone: bool) -> str:
    if alone and tag in _DETERMINERS:
        return "pronoun"
    return _TYPES_OF_TAGS.get(tag, "nominal")


def _type_of_form(word: str) -> str:
    if word.lower() in PRONOUNS and word not in _NO_PRONOUNS:
        return "pronoun"
    return "proper" if word[:1].isupper() else "nominal"
