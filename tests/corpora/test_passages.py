"""Sentences joined: nothing lost, and as many tokens as said."""

import importlib
from dataclasses import fields, replace

import pytest

from bertology import BertologyError
from bertology.corpora import (
    Argument,
    Corpus,
    Frame,
    Mention,
    ProtoRole,
    Sentence,
    encode,
    passages,
    read_corpus,
)
from bertology.corpora.text import text_to_sentence, words_to_sentence

FIRST = words_to_sentence(
    ["w1", "w2", "w3"],
    id="a",
    document="d",
    lemmas=("l1", "l2", "l3"),
    upos=("A", "B", "C"),
    xpos=("a", "b", "c"),
    feats=("_", "x=y", "_"),
    heads=(1, -1, 1),
    deprels=("r1", "root", "r3"),
    mentions=(Mention("e", 0, 2, "person"), Mention("f", 2, 3)),
    frames=(Frame(1, "do.01", (Argument("ARG0", 0, 1), Argument("ARG1", 2, 3))),),
    entities=("O", "O", "B-LOC"),
    proto_roles=(ProtoRole("volition", 1, 0, 1.0),),
    label="positive",
)
SECOND = words_to_sentence(
    ["w4", "w5"],
    id="b",
    document="d",
    lemmas=("l4", "l5"),
    upos=("D", "E"),
    xpos=("d", "e"),
    feats=("z=z", "_"),
    heads=(-1, 0),
    deprels=("root", "r5"),
    mentions=(Mention("e", 1, 2, "person"),),
    frames=(Frame(0, "be.01", (Argument("ARG1", 1, 2),)),),
    entities=("B-PER", "I-PER"),
    proto_roles=(ProtoRole("volition", 0, 1, -1.0),),
    label="negative",
)


def corpus(*sentences: Sentence) -> Corpus:
    return Corpus("small", sentences, "0")


def numbered(*sizes: int, document: str | None = "d") -> list[Sentence]:
    """Sentences of so many words, each word one token of the word tokenizer."""
    return [
        words_to_sentence([f"w{place}" for place in range(size)], id=f"s{i}", document=document)
        for i, size in enumerate(sizes)
    ]


def test_annotation_comes_along_with_the_places_in_the_passage(tokenizer_of) -> None:
    (passage,) = passages(corpus(FIRST, SECOND), tokenizer_of()).sentences
    assert passage == Sentence(
        id="a to b",
        text="w1 w2 w3 w4 w5",
        spans=((0, 2), (3, 5), (6, 8), (9, 11), (12, 14)),
        document="d",
        lemmas=("l1", "l2", "l3", "l4", "l5"),
        upos=("A", "B", "C", "D", "E"),
        xpos=("a", "b", "c", "d", "e"),
        feats=("_", "x=y", "_", "z=z", "_"),
        heads=(1, -1, 1, -1, 3),
        deprels=("r1", "root", "r3", "root", "r5"),
        mentions=(Mention("e", 0, 2, "person"), Mention("f", 2, 3), Mention("e", 4, 5, "person")),
        frames=(
            Frame(1, "do.01", (Argument("ARG0", 0, 1), Argument("ARG1", 2, 3))),
            Frame(3, "be.01", (Argument("ARG1", 4, 5),)),
        ),
        entities=("O", "O", "B-LOC", "B-PER", "I-PER"),
        proto_roles=(ProtoRole("volition", 1, 0, 1.0), ProtoRole("volition", 3, 4, -1.0)),
        label=None,
    )
    # Annotation that sentences gain one day has to be thought of here too.
    known = {"pair"} | {field.name for field in fields(Sentence) if getattr(FIRST, field.name)}
    assert known == {field.name for field in fields(Sentence)}


@pytest.mark.parametrize(
    ("sizes", "ids"),
    [
        ((3, 3, 2), ["s0 to s2"]),  # 2 specials and 8 words
        ((3, 3, 3), ["s0 to s1", "s2"]),
        ((8, 1), ["s0", "s1"]),
        ((1, 9, 1, 1), ["s0", "s1", "s2 to s3"]),  # 9 words and 2 specials fit nowhere
        ((20, 8), ["s0", "s1"]),
        ((), []),
    ],
)
def test_passages_are_filled_to_the_last_token(tokenizer_of, sizes, ids) -> None:
    found = passages(corpus(*numbered(*sizes)), tokenizer_of(), max_tokens=10).sentences
    assert [passage.id for passage in found] == ids


def test_only_one_document_and_one_kind_of_annotation_are_joined(tokenizer_of) -> None:
    def ids(*sentences: Sentence) -> list[str]:
        return [s.id for s in passages(corpus(*sentences), tokenizer_of()).sentences]

    bare = words_to_sentence(["w6"], id="c", document="d")
    other = replace(SECOND, document="e")
    pair = replace(SECOND, pair=bare)
    assert ids(FIRST, SECOND) == ["a to b"]
    assert ids(FIRST, other) == ["a", "b"]
    assert ids(FIRST, bare, SECOND) == ["a", "c", "b"]
    assert ids(FIRST, pair, FIRST) == ["a", "b", "a"]
    assert ids(*numbered(1, 1, document=None)) == ["s0", "s1"]


def test_budget_that_is_none(tokenizer_of) -> None:
    with pytest.raises(BertologyError, match="max_tokens is 0; a positive number"):
        passages(corpus(FIRST), tokenizer_of(), max_tokens=0)


TEXTS = ["don't (do) it.", "It's 日本語", "the… the", "“Do the” the", "…", "a", "( do", "don't"]


@pytest.mark.parametrize(
    "name",
    ["wordpiece", "bytes trimmed", "bytes prefixed", "unigram", "unigram unprefixed", "prepended",
     "characters", "canine", "byt5", "ctrl", "xlm", "japanese wordpiece", "slow byte-level"],
)  # fmt: skip
def test_tokens_are_counted_as_they_are_read(tokenizer_named, name: str) -> None:
    tokenizer = tokenizer_named(name)
    given = [
        text_to_sentence(text, id=f"s{i}", document=f"d{i // 15}")
        for i, text in enumerate(TEXTS * 4)
    ]
    most = 2 * max(len(encode(sentence, tokenizer)) for sentence in given)
    found = passages(corpus(*given), tokenizer, max_tokens=most).sentences
    sizes = [len(encode(passage, tokenizer)) for passage in found]
    assert max(sizes) <= most < sum(sizes[:2])
    # No word lost, none moved, and the words are those of the text.
    assert [w for p in found for w in p.words] == [w for s in given for w in s.words]
    assert [p.document for p in found] == sorted(p.document for p in found)


def test_tokens_that_joining_adds_are_noticed(tokenizer_of, monkeypatch) -> None:
    # As if the tokenizer made one more token of each space between sentences, here "w0".
    module = importlib.import_module("bertology.corpora.passages")

    def costly(sentence: Sentence, tokenizer: object) -> object:
        encoding = encode(sentence, tokenizer)
        again = encoding.sentence.words[1:].count("w0")
        return encode(words_to_sentence(["w1"] * (len(encoding) - 2 + again), id="x"), tokenizer)

    given = corpus(*numbered(2, 2, 2, 2, 2))
    plain = passages(given, tokenizer_of(), max_tokens=8).sentences
    monkeypatch.setattr(module, "encode", costly)
    found = passages(given, tokenizer_of(), max_tokens=8).sentences
    assert [p.id for p in plain] == ["s0 to s2", "s3 to s4"]
    assert [p.id for p in found] == ["s0 to s1", "s2 to s3", "s4"]


def test_the_time_is_in_proportion_to_the_text(tokenizer_of, monkeypatch) -> None:
    module = importlib.import_module("bertology.corpora.passages")
    words = []
    monkeypatch.setattr(module, "encode", lambda s, t: words.append(len(s)) or encode(s, t))
    passages(corpus(*numbered(*[3, 5, 2, 7] * 100)), tokenizer_of(), max_tokens=30)
    # Each word once with its sentence, once with its passage.
    assert sum(words) <= 2 * 1700


def test_gum_in_passages(shared_file, demo) -> None:
    given = read_corpus(shared_file("coref/gum/gum-dev-permissive.conllu"))
    found = passages(given, demo.tokenizer, max_tokens=128)
    sizes = [len(encode(sentence, demo.tokenizer)) for sentence in found.sentences]
    long = [size for size in sizes if size > 128]
    assert len(long) == sum(len(encode(s, demo.tokenizer)) > 128 for s in given.sentences)
    assert sum(sizes) / len(sizes) > 90
    assert found.documents == given.documents
    roots = sum(s.heads.count(-1) for s in found.sentences)
    mentions = [m for s in found.sentences for m in s.mentions]
    assert (roots, len(mentions)) == (438, 2993)
    texts = [" ".join(s.words[m.start : m.end]) for s in found.sentences for m in s.mentions]
    assert texts == [
        " ".join(s.words[m.start : m.end]) for s in given.sentences for m in s.mentions
    ]
