"""Consecutive sentences of a document joined into longer texts."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, groupby
from typing import Any, TypeVar

from ..errors import CorpusError
from .align import encode
from .text import Argument, Corpus, Frame, Mention, ProtoRole, Sentence

#: Annotation with one entry a word that means the same wherever the word stands.
_COLUMNS = ("lemmas", "upos", "xpos", "feats", "deprels", "entities")
_Span = TypeVar("_Span", Mention, Argument)


def passages(corpus: Corpus, tokenizer: Any, *, max_tokens: int = 128) -> Corpus:
    """Join consecutive sentences of one document into texts of at most so many tokens.

    Each text takes as many sentences as the sum of their tokens allows, with a space between them.
    Sentences are never cut: a longer one is a passage of its own, which a pass skips if the model
    cannot read it. Annotation comes along, with the numbers that words have in the passage; a
    passage has a root for each sentence, and no label. Sentences without a document, and pairs,
    stay alone. The id of a passage names its first and its last sentence.

    Args:
        max_tokens: those that the tokenizer adds included.

    Raises:
        CorpusError: max_tokens is no positive number, or a sentence cannot be encoded.
    """
    if max_tokens < 1:
        raise CorpusError(f"max_tokens is {max_tokens}; a positive number was expected.")
    joined: list[Sentence] = []
    for kind, sentences in groupby(corpus.sentences, key=_kind):
        if kind is None:
            joined += sentences
        else:
            joined += _passages(list(sentences), tokenizer, max_tokens)
    name = f"{corpus.name} in passages of at most {max_tokens} tokens"
    return Corpus(name, tuple(joined), corpus.sha256)


def _kind(sentence: Sentence) -> tuple[str | bool, ...] | None:
    """What sentences must have in common to be joined: the document, and what is annotated."""
    if sentence.document is None or sentence.pair is not None:
        return None
    return sentence.document, *(bool(getattr(sentence, name)) for name in ("heads", *_COLUMNS))


def _passages(sentences: Sequence[Sentence], tokenizer: Any, max_tokens: int) -> Iterator[Sentence]:
    encodings = (encode(sentence, tokenizer) for sentence in sentences)
    sizes = [(int((~encoding.added).sum()), len(encoding)) for encoding in encodings]
    start = 0
    while start < len(sentences):
        end, size = start + 1, sizes[start][1]
        while end < len(sentences) and size + sizes[end][0] <= max_tokens:
            size += sizes[end][0]
            end += 1
        passage = _joined(sentences[start:end])
        # Some tokenizers make more tokens of a text than of its sentences one by one.
        while end - start > 1 and len(encode(passage, tokenizer)) > max_tokens:
            end -= 1
            passage = _joined(sentences[start:end])
        yield passage
        start = end


def _joined(sentences: Sequence[Sentence]) -> Sentence:
    if len(sentences) == 1:
        return sentences[0]
    spans: list[tuple[int, int]] = []
    heads: list[int] = []
    mentions: list[Mention] = []
    frames: list[Frame] = []
    proto_roles: list[ProtoRole] = []
    characters = 0
    for sentence in sentences:
        words = len(spans)
        spans += ((start + characters, end + characters) for start, end in sentence.spans)
        heads += (head if head < 0 else head + words for head in sentence.heads)
        mentions += (_moved(mention, words) for mention in sentence.mentions)
        frames += (
            replace(
                frame,
                predicate=frame.predicate + words,
                arguments=tuple(_moved(argument, words) for argument in frame.arguments),
            )
            for frame in sentence.frames
        )
        proto_roles += (
            replace(role, predicate=role.predicate + words, argument=role.argument + words)
            for role in sentence.proto_roles
        )
        characters += len(sentence.text) + 1

    def column(name: str) -> tuple[str, ...]:
        return tuple(chain.from_iterable(getattr(sentence, name) for sentence in sentences))

    return replace(
        sentences[0],
        id=f"{sentences[0].id} to {sentences[-1].id}",
        text=" ".join(sentence.text for sentence in sentences),
        spans=tuple(spans),
        lemmas=column("lemmas"),
        upos=column("upos"),
        xpos=column("xpos"),
        feats=column("feats"),
        heads=tuple(heads),
        deprels=column("deprels"),
        mentions=tuple(mentions),
        frames=tuple(frames),
        entities=column("entities"),
        proto_roles=tuple(proto_roles),
        label=None,
    )


def _moved(span: _Span, words: int) -> _Span:
    return replace(span, start=span.start + words, end=span.end + words)
