"""Reading a corpus whatever its format, and the sample treebank."""

from importlib.resources import as_file, files
from pathlib import Path

from ..errors import CorpusError
from .conllu import read_conllu
from .files import decode, existing_file, read_bytes
from .text import Corpus, sha256_of, text_to_sentence


def read_corpus(path: str | Path) -> Corpus:
    """Read CoNLL-U (a file ending in `.conllu` or `.conll`) or plain text, one sentence a line.

    Raises:
        CorpusError: no such file, no sentence in it, or malformed lines.
    """
    source = existing_file(path)
    return (
        read_conllu(source) if source.suffix in (".conllu", ".conll") else read_plain_text(source)
    )


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
