"""Reading a corpus whatever its format, and the sample treebank."""

import re
from importlib.resources import as_file, files
from itertools import chain
from pathlib import Path

from ..errors import CorpusError
from .conllu import read_conllu
from .coreference import BEGIN, read_conll_coreference
from .files import decode, existing_file, lines_of, read_bytes
from .iob import has_tags, read_iob
from .pronouns import read_gap
from .propbank import read_propbank
from .proto_roles import read_proto_roles
from .senteval import LINE, read_senteval
from .text import Corpus, sha256_of, text_to_sentence

#: How the first line of a file shows that it holds labelled texts.
_TEXT_FIELD = {
    ".tsv": re.compile(r"(^|\t)text(\t|$)"),
    ".csv": re.compile(r"(^|,)\"?text\"?(,|$)"),
    ".jsonl": re.compile(r"^\s*\{.*\"text\"\s*:"),
}
_PAIRS = re.compile(r"\s*\{.*\"pairs\"\s*:")
_IOB = (".iob2", ".iob", ".bio")
_NEVER = re.compile(r"(?!)")


def read_corpus(path: str | Path) -> Corpus:
    """Read a corpus by its ending and its first line.

    CoNLL coreference if the first line is `#begin document`; named entities if it ends in `.iob2`,
    `.iob` or `.bio`, or in `.conll` and its first word has an IOB tag; else CoNLL-U if it ends in
    `.conllu` or `.conll`; SentEval, all parts together, if the first line is a part (`tr`, `va`,
    `te`), a label and a sentence; GAP if it ends in `.tsv` and its header has `Pronoun-offset`;
    texts, or pairs of texts, with their label, if it ends in `.tsv`, `.csv` or `.jsonl` and has the
    field `text`; if it ends in `.jsonl` otherwise, proto-roles where there is the field `pairs`,
    else PropBank frames; everything else as plain text, one sentence a line.

    Raises:
        CorpusError: no such file, no sentence in it, or malformed lines.
    """
    source = existing_file(path)
    data = read_bytes(source)
    begin = next(lines_of(data, source), "")
    if BEGIN.match(begin):
        return read_conll_coreference(source)
    if source.suffix in _IOB or (source.suffix == ".conll" and has_tags(lines_of(data, source))):
        return read_iob(source)
    if source.suffix in (".conllu", ".conll"):
        return read_conllu(source)
    if LINE.match(begin):
        return _joined(read_senteval(source), str(source))
    if source.suffix == ".tsv" and "Pronoun-offset" in begin.split("\t"):
        return read_gap(source)
    if _TEXT_FIELD.get(source.suffix, _NEVER).search(begin):
        from .labelled import corpus_of, read_examples  # which reads plain text by this module

        return corpus_of(read_examples(source))
    if source.suffix == ".jsonl":
        return read_proto_roles(source) if _PAIRS.match(begin) else read_propbank(source)
    return read_plain_text(source)


def _joined(parts: dict[str, Corpus], name: str) -> Corpus:
    sentences = tuple(chain.from_iterable(part.sentences for part in parts.values()))
    return Corpus(name, sentences, next(iter(parts.values())).sha256)


def read_plain_text(path: str | Path) -> Corpus:
    """One sentence a line; words are what white space separates; blank lines are passed over."""
    source = Path(path)
    data = read_bytes(source)
    lines = decode(data, source).split("\n")
    sentences = tuple(
        text_to_sentence(line.strip(), id=f"line {number}")
        for number, line in enumerate(lines, start=1)
        if line.strip()
    )
    if not sentences:
        raise CorpusError(f"{source} is empty; one sentence a line was expected.")
    return Corpus(str(source), sentences, sha256_of(data))


def sample_treebank() -> Corpus:
    """The treebank in the package: short English texts with UD trees and coreference."""
    with as_file(files(__package__).joinpath("sample.conllu")) as path:
        corpus = read_conllu(path)
    return Corpus("sample treebank", corpus.sentences, corpus.sha256)
