"""Predicates and their arguments (PropBank), one sentence a line of JSON."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import CorpusError
from .files import existing_file, json_lines, read_bytes
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
    words = record.get("tokens")
    if not isinstance(words, list) or not words or not all(map(_is_word, words)):
        raise CorpusError(f"{where}: 'tokens' is {words!r}; give a list of words, without space.")
    frames = tuple(_frame(frame, len(words), where) for frame in _objects(record, "frames", where))
    return words_to_sentence(words, id=_text(record, "sent_id", where), frames=frames)


def _frame(given: dict[str, Any], words: int, where: str) -> Frame:
    arguments = tuple(
        _argument(argument, words, where) for argument in _objects(given, "arguments", where)
    )
    predicate = _number(given, "predicate", words, where)
    return Frame(predicate, _text(given, "roleset", where), arguments)


def _argument(given: dict[str, Any], words: int, where: str) -> Argument:
    start, end = (_number(given, name, words, where) for name in ("start", "end"))
    if start > end:
        raise CorpusError(f"{where}: an argument begins at {start} and ends at {end}, before it.")
    return Argument(_text(given, "role", where), start, end + 1)


def _is_word(given: Any) -> bool:
    return isinstance(given, str) and given != "" and given == given.strip()


def _text(given: dict[str, Any], name: str, where: str) -> str:
    text = given.get(name)
    if not isinstance(text, str) or not text:
        raise CorpusError(f"{where}: {name!r} is {text!r}; a text was expected.")
    return text


def _number(given: dict[str, Any], name: str, words: int, where: str) -> int:
    number = given.get(name)
    if type(number) is not int or not 0 <= number < words:
        raise CorpusError(
            f"{where}: {name!r} is {number!r}; the number of a token, from 0 to {words - 1}, was "
            "expected."
        )
    return number


def _objects(given: dict[str, Any], name: str, where: str) -> list[dict[str, Any]]:
    objects = given.get(name)
    if not isinstance(objects, list) or not all(isinstance(one, dict) for one in objects):
        raise CorpusError(f"{where}: {name!r} is {objects!r:.60}; a list of objects was expected.")
    return objects
