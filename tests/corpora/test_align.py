"""Lining up words and tokens."""

import numpy as np
import pytest

from bertology import BertologyError
from bertology.corpora import encode, encode_all
from bertology.corpora.align import is_punctuation
from bertology.corpora.text import text_to_sentence, words_to_sentence


def test_wordpiece_tokens_belong_to_the_word_they_cover(demo) -> None:
    sentence = words_to_sentence(["Unbelievably", "n't", "(", "日本", "...", "😀"], id="s")
    encoding = encode(sentence, demo.tokenizer)
    assert encoding.added.tolist() == [True] + [False] * (len(encoding) - 2) + [True]
    assert encoding.words[0] == encoding.words[-1] == -1
    inside = encoding.words[1:-1]
    assert (np.diff(inside) >= 0).all() and set(inside) == set(range(6))
    for token, word in zip(encoding.tokens[1:-1], inside, strict=True):
        assert token.removeprefix("##") in sentence.words[word].lower() or token == "[UNK]"
    assert encoding.word_tokens.sum() == len(encoding) - 2


def test_specials_written_in_the_text_are_not_added_ones(demo) -> None:
    encoding = encode(text_to_sentence("say [SEP] or [CLS] now", id="s"), demo.tokenizer)
    assert encoding.cls.sum() == 1 and encoding.cls[0]
    assert encoding.sep.sum() == 1 and encoding.sep[-1]
    assert encoding.words.tolist() == [-1, 0, 1, 2, 3, 4, -1]


def test_pair_has_two_separators_and_words_of_the_first_only(demo) -> None:
    first, second = text_to_sentence("a b", id="1"), text_to_sentence("c d e", id="2")
    encoding = encode(first, demo.tokenizer, second)
    assert encoding.words.tolist() == [-1, 0, 1, -1, -1, -1, -1, -1]
    assert encoding.segments.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert encoding.sep.sum() == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("...", True),
        ("—", True),
        ("", False),
        ("$", False),
        ("a.", False),
        ("。", True),
        ("+", False),
    ],
)
def test_punctuation_is_unicode_category_p(text: str, expected: bool) -> None:
    assert is_punctuation(text) is expected


def test_punctuation_of_tokens(demo) -> None:
    encoding = encode(text_to_sentence("Well , $ 5 !", id="s"), demo.tokenizer)
    assert [t for t, p in zip(encoding.tokens, encoding.punctuation, strict=True) if p] == [
        ",",
        "!",
    ]


def test_the_demo_reads_beyond_128_tokens(demo) -> None:
    # Its tokenizer.json asks for truncation and padding to 128.
    short, long = text_to_sentence("a b", id="s"), text_to_sentence("a " * 300, id="l")
    assert len(encode(short, demo.tokenizer)) == 4
    assert len(encode(long, demo.tokenizer)) == 302


def test_too_long_and_empty_sentences_are_skipped_with_a_reason(demo) -> None:
    fits = text_to_sentence("a " * 510, id="fits")
    long = text_to_sentence("a " * 511, id="long")
    kept, skipped = encode_all([fits, long], demo.tokenizer, demo.max_tokens)
    assert [e.sentence.id for e in kept] == ["fits"]
    assert skipped == [["long", "513 tokens, the model reads at most 512"]]


def test_byte_level_and_sentencepiece_offsets(shared_file) -> None:
    import bertology

    folder = shared_file("models/stories260K/config.json").parent
    model = bertology.load_model(folder)
    sentence = words_to_sentence(["Once", "there", "was", "a", "zebra", "."], id="s")
    encoding = encode(sentence, model.tokenizer)
    assert encoding.word_tokens.min() >= 1
    assert encoding.tokens[0] == "<s>" and encoding.words[0] == -1
    assert not encoding.cls.any() and not encoding.sep.any()


def test_slow_tokenizers_are_refused() -> None:
    class Slow:
        is_fast = False

    with pytest.raises(BertologyError, match="no character offsets"):
        encode(text_to_sentence("a", id="s"), Slow())
