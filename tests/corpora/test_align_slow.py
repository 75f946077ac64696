"""Words and tokens of tokenizers written in Python, which give no character offsets."""

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import transformers

from bertology import BertologyError
from bertology.corpora import Encoding, encode, encode_all, read_corpus
from bertology.corpora.text import text_to_sentence, words_to_sentence
from bertology.errors import CorpusError


def marked(encoding: Encoding, field: str) -> str:
    """The tokens for which a field is true."""
    chosen = getattr(encoding, field)
    return " ".join(t for t, is_chosen in zip(encoding.tokens, chosen, strict=True) if is_chosen)


@pytest.mark.parametrize(
    ("name", "added", "cls", "sep", "segments"),
    [
        ("ctrl", "", "", "", "00"),
        ("canine", "\ue000 \ue001 \ue001", "\ue000", "\ue001 \ue001", "00000"),
        ("byt5", "</s> </s>", "", "", "0000"),
        ("japanese wordpiece", "[CLS] [SEP] [SEP]", "[CLS]", "[SEP] [SEP]", "00011"),
        # One special is both: after a text it is the separator, and nothing stands for the class.
        ("xlm", "<s> </s> </s>", "", "</s> </s>", "00011"),
        ("flaubert", "<s> </s> </s>", "", "</s> </s>", "00011"),
    ],
)
def test_specials_of_a_pair(
    tokenizer_named: Callable[[str], Any], name: str, added: str, cls: str, sep: str, segments: str
) -> None:
    tokenizer = tokenizer_named(name)
    first, second = words_to_sentence(["a"], id="1"), words_to_sentence(["b"], id="2")
    encoding = encode(first, tokenizer, second)
    assert encoding.ids.tolist() == tokenizer("a", "b")["input_ids"]
    assert [marked(encoding, field) for field in ("added", "cls", "sep")] == [added, cls, sep]
    assert "".join(map(str, encoding.segments)) == segments
    assert encoding.words.tolist().count(0) == 1 and (encoding.words > 0).sum() == 0


def test_specials_written_in_the_text_are_not_added_ones(tokenizer_named) -> None:
    encoding = encode(text_to_sentence("a [SEP] b", id="s"), tokenizer_named("japanese wordpiece"))
    assert encoding.words.tolist() == [-1, 0, 1, 2, -1]
    assert encoding.sep.tolist() == [False] * 4 + [True]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ctrl", "'@@ (@@ )@@ , …"),
        ("canine", "' ( ) , …"),
        ("byt5", "' ( ) , â \x80 ¦"),
        ("xlm", "' (</w> )</w> ,</w> . . .</w>"),
        ("japanese wordpiece", "' ( ) , …"),
        ("slow byte-level", "' Ġ( ) , Ġ…"),
    ],
)
def test_punctuation_is_seen_through_the_marks_of_tokens(
    tokenizer_named, name: str, expected: str
) -> None:
    sentence = words_to_sentence(["Do", "n't", "(x),", "$", "…"], id="s")
    encoding = encode(sentence, tokenizer_named(name))
    assert marked(encoding, "punctuation") == expected


def test_what_a_tokenizer_makes_punctuation_is_none(tokenizer_named) -> None:
    # An acute accent is a symbol, which Moses' tokenizer writes as an apostrophe.
    encoding = encode(words_to_sentence(["a´", "b"], id="s"), tokenizer_named("xlm"))
    assert "'</w>" in encoding.tokens or "'" in encoding.tokens
    assert not encoding.punctuation.any()


def test_one_special_before_and_after_the_text() -> None:
    tokenizer = transformers.CanineTokenizer(cls_token="\ue001")
    encoding = encode(words_to_sentence(["a"], id="s"), tokenizer)
    assert encoding.cls.tolist() == [True, False, False]
    assert encoding.sep.tolist() == [False, False, True]


def test_an_unknown_token_that_stands_for_punctuation(tokenizer_named) -> None:
    encoding = encode(words_to_sentence(["。", "ж"], id="s"), tokenizer_named("ctrl"))
    assert encoding.tokens == ("<unk>", "<unk>")
    assert encoding.punctuation.tolist() == [True, False]


def test_a_tokenizer_that_looks_at_the_words_before(tokenizer_named) -> None:
    # Alone, `'s` is one piece of Moses' tokenizer; after a word it is two.
    tokenizer = tokenizer_named("xlm")
    sentence = words_to_sentence(["the", "b", "'s"], id="s")
    encoding = encode(sentence, tokenizer)
    assert encoding.ids.tolist() == tokenizer(sentence.text)["input_ids"]
    assert encoding.tokens[1:-1] == ("the</w>", "b</w>", "'</w>", "s</w>")
    assert encoding.words[1:-1].tolist() == [0, 1, 2, 2]
    assert tokenizer.tokenize("'s") == ["'", "s</w>"]


def test_a_tokenizer_that_looks_at_the_words_after(tokenizer_named) -> None:
    # `etc.` stays whole because of the word after it, so it has no tokens of its own: read alone.
    tokenizer = tokenizer_named("xlm")
    sentence = words_to_sentence(["etc.", "b"], id="s")
    assert tokenizer.tokenize(sentence.text) == ["e", "t", "c", ".</w>", "b</w>"]
    encoding = encode(sentence, tokenizer)
    assert encoding.tokens[1:-1] == ("e", "t", "c</w>", ".</w>", "b</w>")
    assert encoding.words[1:-1].tolist() == [0] * 4 + [1]


def test_very_long_texts_are_read_word_by_word(tokenizer_named) -> None:
    tokenizer = tokenizer_named("xlm")
    short = encode(words_to_sentence(["b", "'s"], id="s"), tokenizer)
    long = encode(words_to_sentence(["b", "'s"] * 250, id="s"), tokenizer)
    assert short.tokens[2] == "'</w>" and long.tokens[2] == "'"
    assert long.word_tokens.tolist() == [1, 2] * 250


class Prefixing(transformers.CanineTokenizer):
    """A tokenizer of words that marks the start of whatever text it is given, even of a space."""

    def _tokenize(self, text: str) -> list[str]:
        return ["▁" + word for word in text.split()] or ["▁"]

    def _convert_token_to_id(self, token: str) -> int:
        return ord(token[-1])


@pytest.mark.parametrize("name", ["slow byte-level", "prefixing"])
def test_space_goes_where_the_tokenizer_has_it(tokenizer_named, name: str) -> None:
    # Too long to be tokenized once for each beginning of it.
    sentence = words_to_sentence(["a", "b"] * 250, id="s")
    tokenizer = Prefixing() if name == "prefixing" else tokenizer_named(name)
    encoding = encode(sentence, tokenizer)
    assert encoding.ids.tolist() == tokenizer(sentence.text)["input_ids"]
    assert encoding.word_tokens.tolist() == [1] * 500


class Merging(transformers.CanineTokenizer):
    """A tokenizer of characters that reads a word before `!` as one token, as if shouted."""

    def _tokenize(self, text: str) -> list[str]:
        return re.findall(r"\S+(?= !)|.", text)

    def _convert_token_to_id(self, token: str) -> int:
        return ord(token[0])


def test_spaces_stay_where_words_are_read_alone() -> None:
    encoding = encode(words_to_sentence(["ab", "!"], id="s"), Merging())
    assert encoding.tokens[1:-1] == ("a", "b", " ", "!")
    assert encoding.words[1:-1].tolist() == [0, 0, -1, 1]


class Failing(transformers.CanineTokenizer):
    def _tokenize(self, text: str) -> list[str]:
        if "x" in text:
            raise KeyError("x")
        return list(text)


def test_a_word_that_the_tokenizer_fails_on_is_shown() -> None:
    sentence = words_to_sentence([*"abcdefgh", "xy", "z"], id="s7")
    with pytest.raises(CorpusError) as caught:
        encode_all([words_to_sentence(["a"], id="s6"), sentence], Failing(), None)
    message = str(caught.value)
    assert message.startswith("Sentence 's7', word 8 ('xy'): Failing fails on 'xy' (KeyError: 'x')")
    assert "Words: … 'e' 'f' 'g' 'h' 'xy' 'z'; tokens: … 'g' ' ' 'h' ' '. Leave" in message


class Unnumbered(transformers.CanineTokenizer):
    def _convert_token_to_id(self, token: str) -> Any:
        return None if token == "q" else ord(token)


def test_a_token_without_an_id_is_shown() -> None:
    with pytest.raises(CorpusError, match=r"Sentence 's', word 1 \('q'\): 'q' has no id"):
        encode(words_to_sentence(["a", "q"], id="s"), Unnumbered())


class Reversing(transformers.CanineTokenizer):
    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        return token_ids_0[::-1] + (token_ids_1 or [])


class Wanting(transformers.CanineTokenizer):
    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        raise ValueError("no separator")


@pytest.mark.parametrize(
    ("kind", "problem"), [(Reversing, "it changes those of the text"), (Wanting, "no separator")]
)
def test_specials_that_cannot_be_added(kind: type, problem: str) -> None:
    with pytest.raises(CorpusError, match=rf"Sentence 's': {kind.__name__} .*{problem}"):
        encode(words_to_sentence(["a", "b"], id="s"), kind())


def test_what_is_no_tokenizer_is_refused() -> None:
    slow = SimpleNamespace(is_fast=False, cls_token_id=None, sep_token_id=None)
    with pytest.raises(BertologyError, match="no character offsets, and has no tokenize"):
        encode(text_to_sentence("a", id="s"), slow)


@pytest.mark.parametrize(("name", "most"), [("ctrl", 0), ("canine", 0), ("xlm", 2)])
def test_the_treebank(tokenizer_named, shared_file, name: str, most: int) -> None:
    corpus = read_corpus(shared_file("ud/en_ewt-ud-dev.conllu")).first(600)
    tokenizer = tokenizer_named(name)
    kept, skipped = encode_all(corpus.sentences, tokenizer, None)
    assert not skipped and all(encoding.word_tokens.min() >= 1 for encoding in kept)
    other = [e for e in kept if e.ids.tolist() != tokenizer(e.sentence.text)["input_ids"]]
    assert len(other) <= most
