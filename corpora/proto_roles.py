"""Semantic proto-roles (Universal Decompositional Semantics), one sentence a line of JSON."""

import math
from pathlib import Path
from typing import Any

from ..errors import CorpusError
from .files import existing_file, json_lines, read_bytes
from .records import objects_of, text_of, token_of, words_of
from .text import Corpus, ProtoRole, Sentence, sha256_of, words_to_sentence


def read_proto_roles(path: str | Path) -> Corpus:
    """Read proto-role properties, one JSON object a line.

    Its fields are `sent_id`, `tokens`, and `pairs`: each with `predicate` and `argument` (the
    numbers of their tokens from 0) and `properties`, which gives each property its value and the
    annotators' confidence: `{"volition": [1.3, 1.0]}`. Confidence is not kept.

    Raises:
        CorpusError: malformed lines (file, line number, what is wrong), or no sentence.
    """
    source = existing_file(path)
    sentences: dict[str, Sentence] = {}
    for where, record in json_lines(source):
        sentence = _sentence(record, where)
        if sentence.id in sentences:
            raise CorpusError(f"{where}: the sentence {sentence.id!r} was there before.")
        sentences[sentence.id] = sentence
    if not sentences:
        raise CorpusError(f"{source} holds no sentence; JSON lines with pairs were expected.")
    return Corpus(str(source), tuple(sentences.values()), sha256_of(read_bytes(source)))


def _sentence(record: dict[str, Any], where: str) -> Sentence:
    words = words_of(record, "tokens", where)
    roles = tuple(
        role
        for pair in objects_of(record, "pairs", where)
        for role in _roles(pair, len(words), where)
    )
    return words_to_sentence(words, id=text_of(record, "sent_id", where), proto_roles=roles)


def _roles(pair: dict[str, Any], words: int, where: str) -> list[ProtoRole]:
    predicate, argument = (token_of(pair, name, words, where) for name in ("predicate", "argument"))
    properties = pair.get("properties")
    if not isinstance(properties, dict):
        raise CorpusError(
            f"{where}: 'properties' is {properties!r:.60}; an object was expected, such as "
            '{"volition": [1.3, 1.0]}.'
        )
    return [
        ProtoRole(name, predicate, argument, _value(name, given, where))
        for name, given in properties.items()
    ]


def _value(name: str, given: Any, where: str) -> float:
    numbers = given if isinstance(given, list) else []
    if len(numbers) != 2 or not all(
        type(number) in (int, float) and math.isfinite(number) for number in numbers
    ):
        raise CorpusError(
            f"{where}: the property {name!r} is {given!r:.60}; its value and the confidence, two "
            "numbers, were expected."
        )
    return float(numbers[0])
