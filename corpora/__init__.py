"""Reading annotated text, and lining its words up with a tokenizer's tokens."""

from .align import Encoding, encode, encode_all
from .conllu import read_conllu
from .coreference import read_conll_coreference
from .evidence import read_evidence
from .iob import read_iob
from .labelled import Example, Examples, corpus_of, examples_of, read_examples, read_sst
from .mentions import head_word, mention_type
from .minimal_pairs import MinimalPair, MinimalPairs, read_minimal_pairs
from .paragraphs import paragraph_pairs
from .passages import passages
from .pronouns import read_gap, read_winobias
from .propbank import read_propbank
from .proto_roles import read_proto_roles
from .reading import read_corpus, read_plain_text, sample_treebank
from .senteval import read_senteval
from .text import Argument, Corpus, Frame, Mention, ProtoRole, Sentence

__all__ = [
    "Argument",
    "Corpus",
    "Encoding",
    "Example",
    "Examples",
    "Frame",
    "Mention",
    "MinimalPair",
    "MinimalPairs",
    "ProtoRole",
    "Sentence",
    "corpus_of",
    "encode",
    "encode_all",
    "examples_of",
    "head_word",
    "mention_type",
    "paragraph_pairs",
    "passages",
    "read_conll_coreference",
    "read_conllu",
    "read_corpus",
    "read_evidence",
    "read_examples",
    "read_gap",
    "read_iob",
    "read_minimal_pairs",
    "read_plain_text",
    "read_propbank",
    "read_proto_roles",
    "read_senteval",
    "read_sst",
    "read_winobias",
    "sample_treebank",
]
