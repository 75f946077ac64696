"""Reading a corpus whatever its format, and the sample treebank."""

import re
from importlib.resources import as_file, files
from pathlib import Path

from ..errors import CorpusError
from .conllu import read_conllu
from .coreference import BEGIN, read_conll_coreference
from .files import decode, existing_file, lines_of, read_bytes
from .pronouns import read_gap
from .propbank import read_propbank
from .text import Corpus, sha256_of, text_to_sentence

#: How the first line of a file shows that it holds labelled texts.
_TEXT_FIELD = {
    ".tsv": re.compile(r"(^|\t)text(\t|$)"),
    ".csv": re.compile(r"(^|,)\"?text\"?(,|$)"),
    ".jsonl": re.compile(r"^\s*\{.*\"text\"\s*:"),
}
_NEVER = re.compile(r"(?!)")


def read_corpus(path: str | Path) -> Corpus:
    """Read a corpus by its ending and its first line.

    CoNLL coreference if the first line is `#begin document`; else CoNLL-U if it ends in `.conllu`
    or `.conll`; GAP if it ends in `.tsv` and its header has `Pronoun-offset`; texts, or pairs of
    texts, if it ends in `.tsv`, `.csv` or `.jsonl` and has the field `text`; PropBank frames if it
    ends in `.jsonl` otherwise; everything else as plain text, one sentence a line.

    Raises:
        CorpusError: no such file, no sentence in it, or malformed lines.
    """
    source = existing_file(path)
    begin = next(lines_of(read_bytes(source), source), "")
    if BEGIN.match(begin):
        return read_conll_coreference(source)
    if source.suffix in (".conllu", ".conll"):
        return read_conllu(source)
    if source.suffix == ".tsv" and "Pronoun-offset" in begin.split("\t"):
        return read_gap(source)
    if _TEXT_FIELD.get(source.suffix, _NEVER).search(begin):
        from .labelled import corpus_of, read_examples  # which reads plain text by this module

        return corpus_of(read_examples(source))
    if source.suffix == ".jsonl":
        return read_propbank(source)
    return read_plain_text(source)


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
