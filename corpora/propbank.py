"""Predicates and their arguments (PropBank), one sentence a line of JSON."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import CorpusError
from .files import existing_file, json_lines, read_bytes
from .records import objects_of, text_of, token_of, words_of
from .text import Argument, Corpus, Frame, Sentence, sha256_of, words_to_sentence


def read_propbank(path: str | Path, corpus: Corpus | None = None) -> Corpus:
    """Read frames, one JSON object a line.

    Its fields are `sent_id`, `tokens`, and `frames`: each with `predicate` (the number of its
    token from 0), `roleset`, and `arguments` with `role`, `start` and `end`, the last token
    included.

    Args:
        corpus: a treebank with the same sentences, found by `sent_id`: its trees and documents
            come with the frames. Without one there are neither.

    Raises:
        CorpusError: malformed lines (file, line number, what is wrong), no sentence, or a sentence
            that the treebank lacks or has in other words.
    """
    source = existing_file(path)
    known = None if corpus is None else _by_id(corpus)
    sentences: dict[str, Sentence] = {}
    for where, record in json_lines(source):
        sentence = _sentence(record, where)
        if sentence.id in sentences:
            raise CorpusError(f"{where}: the sentence {sentence.id!r} was there before.")
        sentences[sentence.id] = sentence if known is None else _joined(sentence, known, where)
    if not sentences:
        raise CorpusError(f"{source} holds no sentence; JSON lines with frames were expected.")
    digest = sha256_of(read_bytes(source))
    if corpus is None:
        return Corpus(str(source), tuple(sentences.values()), digest)
    name = f"{source} with {corpus.name}"
    both = sha256_of((digest + corpus.sha256).encode())
    return Corpus(name, tuple(sentences.values()), both)


def _by_id(corpus: Corpus) -> dict[str, Sentence]:
    known: dict[str, Sentence] = {}
    for sentence in corpus.sentences:
        if sentence.id in known:
            raise CorpusError(
                f"{corpus.name} has two sentences {sentence.id!r}; frames are joined by sent_id."
            )
        known[sentence.id] = sentence
    return known


def _joined(sentence: Sentence, known: dict[str, Sentence], where: str) -> Sentence:
    other = known.get(sentence.id)
    if other is None:
        raise CorpusError(
            f"{where}: the treebank has no sentence {sentence.id!r}; give the treebank that the "
            "frames were annotated on."
        )
    if other.words != sentence.words:
        pairs = zip((*sentence.words, None), (*other.words, None), strict=False)
        place, (own, there) = next((i, pair) for i, pair in enumerate(pairs) if len(set(pair)) > 1)
        raise CorpusError(
            f"{where}: sentence {sentence.id!r} has the word {own!r} at {place} where the treebank "
            f"has {there!r} (None: the end); give the treebank that the frames were annotated on."
        )
    return replace(other, frames=sentence.frames)


def _sentence(record: dict[str, Any], where: str) -> Sentence:
    words = words_of(record, "tokens", where)
    frames = tuple(
        _frame(frame, len(words), where) for frame in objects_of(record, "frames", where)
    )
    return words_to_sentence(words, id=text_of(record, "sent_id", where), frames=frames)


def _frame(given: dict[str, Any], words: int, where: str) -> Frame:
    arguments = tuple(
        _argument(argument, words, where) for argument in objects_of(given, "arguments", where)
    )
    predicate = token_of(given, "predicate", words, where)
    return Frame(predicate, text_of(given, "roleset", where), arguments)


def _argument(given: dict[str, Any], words: int, where: str) -> Argument:
    start, end = (token_of(given, name, words, where) for name in ("start", "end"))
    if start > end:
        raise CorpusError(f"{where}: an argument begins at {start} and ends at {end}, before it.")
    return Argument(text_of(given, "role", where), start, end + 1)
