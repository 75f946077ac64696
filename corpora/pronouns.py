"""Passages that ask whom a pronoun means: GAP and WinoBias."""

import re
import unicodedata
import warnings
from collections.abc import Iterable
from pathlib import Path

from ..errors import CorpusError
from .files import lines_of, read_bytes
from .mentions import PRONOUNS
from .text import Corpus, Mention, Sentence, sha256_of

_GAP_COLUMNS = ("ID", "Text", "Pronoun", "Pronoun-offset", "A", "A-offset", "A-coref", "B",
                "B-offset", "B-coref")  # fmt: skip
_BRACKETED = re.compile(r"\[([^\[\]]*)\]")
_NUMBERED = re.compile(r"\s*\d+\s+(.*\S)\s*$")
_ARTICLE = re.compile(r"(?:the|an?)\s+", re.IGNORECASE)

_Span = tuple[int, int]


def read_gap(path: str | Path) -> Corpus:
    """Read GAP (Webster et al. 2018): a pronoun and two names a passage, each passage a text.

    Mentions are the pronoun (kind `pronoun`), A and B (`proper`); the pronoun is of the entity of
    the name that it means, or of its own. Words are split at white space and punctuation, and where
    a mention begins or ends.

    Raises:
        CorpusError: a column that is missing, or a mention that is not at its offset (file, line
            number); no passage.
    """
    source = Path(path)
    data = read_bytes(source)
    header: list[str] = []
    sentences = []
    for number, line in enumerate(lines_of(data, source), start=1):
        if not header:
            header = _gap_header(line, source)
        elif line.strip():
            sentences.append(_gap_passage(line.split("\t"), header, f"{source}, line {number}"))
    if not sentences:
        raise CorpusError(f"{source} holds no passage below its header.")
    return Corpus(str(source), tuple(sentences), sha256_of(data))


def _gap_header(line: str, source: Path) -> list[str]:
    header = line.split("\t")
    if missing := [name for name in _GAP_COLUMNS if name not in header]:
        raise CorpusError(f"{source}, line 1: GAP has the columns {', '.join(missing)} too.")
    return header


def _gap_passage(cells: list[str], header: list[str], where: str) -> Sentence:
    if len(cells) != len(header):
        raise CorpusError(f"{where}: {len(cells)} tab-separated cells for {len(header)} columns.")
    row = dict(zip(header, cells, strict=True))
    spans = {name: _gap_span(row, name, where) for name in ("Pronoun", "A", "B")}
    meant = [name for name in ("A", "B") if _gap_flag(row, f"{name}-coref", where)]
    if len(meant) > 1:
        raise CorpusError(f"{where}: the pronoun means both A and B; at most one was expected.")
    entities = {"A": "A", "B": "B", "Pronoun": meant[0] if meant else "neither"}
    kinds = {"A": "proper", "B": "proper", "Pronoun": "pronoun"}
    named = [(span, entities[name], kinds[name]) for name, span in spans.items()]
    return _passage(row["Text"], row["ID"], named)


def _gap_span(row: dict[str, str], name: str, where: str) -> _Span:
    mention, offset = row[name], row[f"{name}-offset"]
    start = int(offset) if offset.isdecimal() else -1
    fits = row["Text"].startswith(mention, start) and mention and mention == mention.strip()
    if start < 0 or not fits:
        raise CorpusError(
            f"{where}: {name} {mention!r} is not at character {offset} of the text; offsets count "
            "characters from 0."
        )
    return start, start + len(mention)


def _gap_flag(row: dict[str, str], name: str, where: str) -> bool:
    if row[name].upper() not in ("TRUE", "FALSE"):
        raise CorpusError(f"{where}: {name} is {row[name]!r}; TRUE or FALSE was expected.")
    return row[name].upper() == "TRUE"


def read_winobias(path: str | Path) -> Corpus:
    """Read WinoBias (Zhao et al. 2018): numbered lines, the pronoun and whom it means in brackets.

    `[The developer] argued with the designer because [he] did not like the design.` Mentions are
    the pronoun (kind `pronoun`), its antecedent (`nominal`), and what else it might mean: each
    occupation behind "the" and outside of brackets, of those that the file has in brackets
    anywhere. An entity is named by its occupation. Words are split at white space and punctuation.

    Lines that have not exactly a pronoun and an antecedent in brackets, or no other occupation, are
    left out; a warning says which. The others keep the number of their line in `Sentence.id`.

    Raises:
        CorpusError: a line that is not numbered, or brackets that do not pair (file, line number);
            no line that can be used.
    """
    source = Path(path)
    data = read_bytes(source)
    texts = {
        number: _winobias_text(line, f"{source}, line {number}")
        for number, line in enumerate(lines_of(data, source), start=1)
        if line.strip()
    }
    bracketed = {name for text in texts.values() for name in map(_name, _BRACKETED.findall(text))}
    others = _behind_the(bracketed - PRONOUNS - {""})
    read = {number: _winobias(text, others, number) for number, text in texts.items()}
    sentences = tuple(sentence for sentence in read.values() if sentence)
    if not sentences:
        raise CorpusError(
            f"{source} has no line such as '1 [The baker] told the cook that [she] was late.'"
        )
    if left_out := [str(number) for number, sentence in read.items() if sentence is None]:
        warnings.warn(
            f"{source}: {len(left_out)} of {len(read)} lines are left out, which have not one "
            f"pronoun and one antecedent in brackets and another occupation: {', '.join(left_out)}",
            stacklevel=2,
        )
    return Corpus(str(source), sentences, sha256_of(data))


def _winobias_text(line: str, where: str) -> str:
    numbered = _NUMBERED.match(line)
    if numbered is None:
        raise CorpusError(f"{where}: a number and a sentence were expected, not {line[:40]!r}.")
    if set("[]") & set(_BRACKETED.sub("", numbered[1])):
        raise CorpusError(f"{where}: a bracket has no partner, or stands in another pair.")
    return numbered[1]


def _name(mention: str) -> str:
    """What a mention is called without its article."""
    return _ARTICLE.sub("", mention.strip().lower(), count=1)


def _behind_the(occupations: Iterable[str]) -> re.Pattern[str]:
    # The longest first, for one that begins like another: "guard captain" and "guard".
    names = "|".join(map(re.escape, sorted(occupations, key=lambda name: (-len(name), name))))
    return re.compile(rf"\bthe\s+(?:{names or '(?!)'})\b", re.IGNORECASE)


def _winobias(marked: str, others: re.Pattern[str], number: int) -> Sentence | None:
    """A line without its brackets; None if it does not ask which of two a pronoun means."""
    text, found = "", []
    for place, part in enumerate(_BRACKETED.split(marked)):
        if place % 2:
            part = part.strip()
            found.append((len(text), len(text) + len(part)))
        text += part
    names = [_name(text[start:end]) for start, end in found]
    pronouns = [name in PRONOUNS for name in names]
    if sorted(pronouns) != [False, True] or "" in names:
        return None
    meant = names[pronouns.index(False)]
    mentions = [
        (span, meant, "pronoun" if pronoun else "nominal")
        for span, pronoun in zip(found, pronouns, strict=True)
    ]
    for match in others.finditer(text):
        if not any(start < match.end() and match.start() < end for start, end in found):
            mentions.append((match.span(), _name(match[0]), "nominal"))
    if len({entity for _, entity, _ in mentions}) == 1:
        return None
    return _passage(text, f"line {number}", mentions)


def _passage(text: str, id: str, mentions: list[tuple[_Span, str, str]]) -> Sentence:
    """A text whose mentions, given by character spans, entities and kinds, are whole words."""
    cuts = {place for span, _, _ in mentions for place in span}
    spans = _word_spans(text, cuts)
    first = {start: word for word, (start, _) in enumerate(spans)}
    last = {end: word for word, (_, end) in enumerate(spans)}
    found = [
        Mention(entity, first[start], last[end] + 1, kind)
        for (start, end), entity, kind in mentions
    ]
    found.sort(key=lambda mention: (mention.start, -mention.end))
    return Sentence(id=id, text=text, spans=tuple(spans), mentions=tuple(found))


def _word_spans(text: str, cuts: set[int]) -> list[_Span]:
    """What white space, punctuation and symbols part, and each of these two; cut at cuts."""
    spans: list[_Span] = []
    start = 0
    for place, character in enumerate([*text, " "]):
        alone = character.isspace() or unicodedata.category(character)[0] in "PS"
        if start < place and (alone or place in cuts):
            spans.append((start, place))
            start = place
        if alone:
            if not character.isspace():
                spans.append((place, place + 1))
            start = place + 1
    return spans
