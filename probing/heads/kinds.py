"""Kinds of word, by the gold annotation of Universal Dependencies, in any language."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ...corpora import Sentence
from .relations import universal


@dataclass(frozen=True)
class Feature:
    """A kind of word, and how a treebank marks it."""

    name: str
    column: str
    """The annotation of a sentence that names such words."""
    mark: str
    """How they are marked, in words."""
    marked: Callable[[Sentence], Iterable[bool]]


def _tag(name: str, tag: str) -> Feature:
    return Feature(name, "upos", f"UPOS {tag}", lambda s: (own == tag for own in s.upos))


def _is_subject(label: str) -> bool:
    # Other subtypes of `expl` are reflexives that stand for no subject.
    return universal(label) in ("nsubj", "csubj") or label in ("expl", "expl:subj")


def _is_object(label: str) -> bool:
    return universal(label) in ("obj", "iobj")


def _is_negative(feats: str) -> bool:
    pairs = (pair.partition("=")[::2] for pair in feats.split("|"))
    return any(name in ("Polarity", "PronType") and "Neg" in v.split(",") for name, v in pairs)


NEGATION = "negation"
FEATURES = (
    _tag("noun", "NOUN"),
    _tag("verb", "VERB"),
    _tag("pronoun", "PRON"),
    Feature(
        "subject", "deprels", "the relation nsubj, csubj or expl",
        lambda s: map(_is_subject, s.deprels),
    ),
    Feature(
        "object", "deprels", "the relation obj or iobj", lambda s: map(_is_object, s.deprels)
    ),
    Feature(
        NEGATION, "feats", "Polarity=Neg or PronType=Neg", lambda s: map(_is_negative, s.feats)
    ),
)  # fmt: skip
