"""Reading annotated text, and lining its words up with a tokenizer's tokens."""

from .align import Encoding, encode, encode_all
from .conllu import read_conllu
from .labelled import Example, Examples, examples_of, read_examples, read_sst
from .reading import read_corpus, read_plain_text, sample_treebank
from .text import Argument, Corpus, Frame, Mention, Sentence

__all__ = [
    "Argument",
    "Corpus",
    "Encoding",
    "Example",
    "Examples",
    "Frame",
    "Mention",
    "Sentence",
    "encode",
    "encode_all",
    "examples_of",
    "read_conllu",
    "read_corpus",
    "read_examples",
    "read_plain_text",
    "read_sst",
    "sample_treebank",
]
