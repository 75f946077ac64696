"""Texts with the spans that people marked as evidence for the label (ERASER's form)."""

from pathlib import Path
from typing import Any

from ..errors import CorpusError
from .files import existing_file, json_lines, read_bytes
from .labelled import Example, Examples
from .text import sha256_of, text_to_sentence

UNITS = ("document", "line")


def read_evidence(path: str | Path, *, unit: str = "document") -> Examples:
    """JSON lines with `document`, `classification` and `evidences` (`start_char`, `end_char`).

    A word is in the rationale if a span covers any of its characters.

    Args:
        unit: `document`, or `line`: every line with a marked word is an example of its own, of
            the document's label, for models that read sentences.

    Raises:
        CorpusError: no such file, a missing field, a span outside the text, or no example.
    """
    if unit not in UNITS:
        raise CorpusError(f"unit is {unit!r}; give one of {', '.join(UNITS)}.")
    source = existing_file(path)
    examples = [
        example
        for where, record in json_lines(source)
        for example in _examples(record, where, unit)
    ]
    if not examples:
        raise CorpusError(f"{source} holds no text with evidence.")
    return Examples(str(source), tuple(examples), sha256_of(read_bytes(source)))


def _examples(record: dict[str, Any], where: str, unit: str) -> list[Example]:
    text, label, spans = (record.get(k) for k in ("document", "classification", "evidences"))
    if not isinstance(text, str) or not isinstance(label, str) or not isinstance(spans, list):
        raise CorpusError(
            f"{where}: document and classification must be texts and evidences a list; it has "
            f"{', '.join(map(repr, record))}."
        )
    inside = _marked(text, spans, where)
    name = str(record.get("annotation_id") or where.rpartition(", ")[2])
    if unit == "document":
        return [_example(text, 0, len(text), inside, label, name, name)]
    parts, start = [], 0
    for number, line in enumerate(text.split("\n"), start=1):
        end = start + len(line)
        if any(inside[start:end]):
            parts.append(_example(text, start, end, inside, label, f"{name}, line {number}", name))
        start = end + 1
    return parts


def _example(
    text: str, start: int, end: int, inside: list[bool], label: str, name: str, document: str
) -> Example:
    sentence = text_to_sentence(text[start:end], id=name, document=document)
    rationale = tuple(any(inside[start + a : start + b]) for a, b in sentence.spans)
    return Example(sentence, label=label, rationale=rationale)


def _marked(text: str, spans: list[Any], where: str) -> list[bool]:
    inside = [False] * len(text)
    for span in spans:
        start, end = (
            span.get(k) if isinstance(span, dict) else None for k in ("start_char", "end_char")
        )
        if not (isinstance(start, int) and isinstance(end, int) and 0 <= start < end <= len(text)):
            raise CorpusError(
                f"{where}: the evidence {span!r} is no span of the text, which has {len(text)} "
                "characters; give start_char and end_char."
            )
        inside[start:end] = [True] * (end - start)
    return inside
