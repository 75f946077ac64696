"""Lining up words and tokens."""

from types import SimpleNamespace

import numpy as np
import pytest
import transformers
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

import bertology
from bertology.corpora import Sentence, encode, encode_all, read_corpus
from bertology.corpora.align import is_punctuation
from bertology.corpora.text import text_to_sentence, words_to_sentence
from bertology.errors import CorpusError


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


def test_a_byte_level_language_model(shared_file) -> None:
    folder = shared_file("models/stories260K/config.json").parent
    model = bertology.load_model(folder)
    sentence = words_to_sentence(["Once", "there", "was", "a", "zebra", "."], id="s")
    encoding = encode(sentence, model.tokenizer)
    assert encoding.word_tokens.min() >= 1
    assert encoding.tokens[0] == "<s>" and encoding.words[0] == -1
    assert not encoding.cls.any() and not encoding.sep.any()


# Words, and the tokens with the word of each: special tokens are left out.
KNOWN = [
    # Contractions as treebanks split them.
    ("wordpiece", ["Do", "n't"], "do:0 n:1 ':1 t:1"),
    ("bytes trimmed", ["do", "n’t"], "do:0 Ġ:- n:1 â:1 Ģ:1 Ļ:1 t:1"),
    ("unigram", ["do", "n't"], "▁do:0 ▁:- n't:1"),
    # No spaces inside a word; one character in several tokens.
    ("wordpiece", ["日本", "a"], "日:0 本:0 a:1"),
    ("bytes untrimmed", ["a", "日"], "a:0 Ġ:- æ:1 Ĺ:1 ¥:1"),
    ("prepended", ["日", "ü"], "▁:- 日:0 ▁:- <0xC3>:1 <0xBC>:1"),
    # Right to left: the order is that of the text.
    ("characters", ["مر", "حبا"], "م:0 ر:0  :- ح:1 ب:1 ا:1"),
    # An emoji of several characters is one word.
    ("wordpiece", ["👩\u200d👩", "a"], "[UNK]:0 a:1"),
    ("characters", ["👩\u200d👩", "a"], "[UNK]:0 [UNK]:0 [UNK]:0  :- a:1"),
    # Normalisers that compose, take apart, or drop.
    ("characters NFC", ["e\u0301", "a"], "é:0  :- a:1"),
    ("characters NFKD", ["é", "…", "a"], "e:0 [UNK]:0  :- .:1 .:1 .:1  :- a:2"),
    ("wordpiece", ["e\u0301", "é", "a"], "e:0 e:1 a:2"),
    # Words that vanish shift no other.
    ("wordpiece", ["\u0301", "a", "\u200b", "\x07", "b"], "a:1 b:4"),
    ("xlm", ["\x07", "a", "\u200d", "b"], "a</w>:1 b</w>:3"),
    # The space before a word, on a token of its own or not, at the start of a text or later.
    ("bytes prefixed", ["a", "b"], "Ġa:0 Ġ:- b:1"),
    ("bytes prefixed untrimmed", ["b", "a"], "Ġ:- b:0 Ġa:1"),
    ("unigram", ["b", "日", "日"], "▁:- b:0 ▁日:1 ▁日:2"),
    ("unigram unprefixed", ["b", "b"], "b:0 ▁:- b:1"),
    ("unigram", ["▁", "b"], "▁:0 ▁:- b:1"),
    # Tokenizers without offsets.
    ("ctrl", ["the", "do", "n't"], "the:0 d@@:1 o:1 n@@:2 '@@:2 t:2"),
    ("canine", ["日本", "👍🏽"], "日:0 本:0  :- 👍:1 🏽:1"),
    ("byt5", ["a", "é"], "a:0  :- Ã:1 ©:1"),
    ("slow byte-level", ["ab", "c"], "a:0 b:0 Ġc:1"),
    ("slow byte-level", ["▁", "b"], "▁:0 Ġb:1"),
    ("japanese wordpiece", ["日本", "the"], "日:0 ##本:0 t:1 ##h:1 ##e:1"),
]


@pytest.mark.parametrize(("name", "words", "expected"), KNOWN)
def test_known_words_of_tokens(tokenizer_named, name: str, words: list[str], expected: str) -> None:
    encoding = encode(words_to_sentence(words, id="s"), tokenizer_named(name))
    inside = np.flatnonzero(~encoding.added)
    shown = [f"{encoding.tokens[i]}:{encoding.words[i]}".replace("-1", "-") for i in inside]
    assert " ".join(shown) == expected


def test_a_token_of_two_words_belongs_to_the_first() -> None:
    backend = Tokenizer(models.WordLevel({"[UNK]": 0, "New York": 1, "a": 2}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex("New York|a"), "removed", invert=True)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")
    encoding = encode(words_to_sentence(["New", "York", "a"], id="s"), tokenizer)
    assert encoding.tokens == ("New York", "a")
    assert encoding.words.tolist() == [0, 2] and encoding.word_tokens.tolist() == [1, 0, 1]


def test_words_without_space_between_them(tokenizer_named) -> None:
    sentence = Sentence("s", "don't", ((0, 2), (2, 2), (2, 5)))
    for name in ("wordpiece", "canine"):
        encoding = encode(sentence, tokenizer_named(name))
        assert encoding.words[~encoding.added].tolist()[-3:] == [2, 2, 2]
        assert encoding.word_tokens[1] == 0


@pytest.mark.parametrize("name", ["bytes prefixed untrimmed", "unigram", "prepended"])
def test_a_space_mark_is_no_punctuation(tokenizer_named, name: str) -> None:
    # Its offsets are those of the full stop.
    encoding = encode(words_to_sentence([".", "x,"], id="s"), tokenizer_named(name))
    assert [t for t, p in zip(encoding.tokens, encoding.punctuation, strict=True) if p] == [
        ".",
        ",",
    ]


def test_empty_second_text_is_a_pair(demo) -> None:
    encoding = encode(text_to_sentence("a b", id="1"), demo.tokenizer, text_to_sentence("", id="2"))
    assert encoding.words.tolist() == [-1, 0, 1, -1, -1]
    assert encoding.sep.sum() == 2 and encoding.pair is not None


def test_many_at_once_are_the_same_as_one_at_a_time(demo, sample) -> None:
    sentences = [*sample.sentences[:40], text_to_sentence("a " * 600, id="long")]
    kept, skipped = encode_all(sentences * 30, demo.tokenizer, demo.max_tokens)
    assert len(kept) == 40 * 30 and len(skipped) == 30
    for encoding in kept[-40:]:
        alone = encode(encoding.sentence, demo.tokenizer)
        for field in ("ids", "segments", "words", "added", "cls", "sep", "punctuation"):
            assert np.array_equal(getattr(encoding, field), getattr(alone, field))
        assert encoding.tokens == alone.tokens


def test_text_that_is_no_text_is_named(demo) -> None:
    sentences = [words_to_sentence(["a"], id="good"), words_to_sentence(["b\ud83d"], id="bad")]
    with pytest.raises(CorpusError, match=r"Sentence 'bad'.*'b\\ud83d'.*correct the text"):
        encode_all(sentences, demo.tokenizer, None)


@pytest.mark.parametrize("spans", [((2, 3), (0, 1)), ((0, 1), (2, 9)), ((0, 3), (2, 3))])
@pytest.mark.parametrize("name", ["wordpiece", "canine"])
def test_impossible_words_are_refused(tokenizer_named, name: str, spans) -> None:
    with pytest.raises(CorpusError, match=r"Sentence 'o': word 1 .*must lie inside the text"):
        encode(Sentence("o", "a b", spans), tokenizer_named(name))


def test_a_plain_text_is_refused(demo) -> None:
    with pytest.raises(CorpusError, match="'a b'; give a Sentence"):
        encode("a b", demo.tokenizer)


class Lying:
    """A tokenizer whose offsets are not those of the text."""

    is_fast = True
    cls_token_id = sep_token_id = None

    def __init__(self, offsets: list[tuple[int, int]]) -> None:
        count = len(offsets)
        self._encoding = SimpleNamespace(
            ids=[0] * count,
            type_ids=[0] * count,
            tokens=[f"t{i}" for i in range(count)],
            offsets=offsets,
            sequence_ids=[0] * count,
        )

    def __call__(self, *_: object, **__: object) -> SimpleNamespace:
        return SimpleNamespace(encodings=[self._encoding])


@pytest.mark.parametrize(
    ("offsets", "place", "problem"),
    [
        ([(0, 1), (5, 90)], "word 2 ('w2')", "'t1' has the characters 5 to 90 of a text of 69"),
        ([(3, 2)], "word 1 ('w1')", "'t0' has the characters 3 to 2"),
        ([(6, 7), (0, 1)], "word 0 ('w0')", "'t1' covers it, after a token of a later word"),
    ],
)
def test_offsets_that_cannot_be_are_shown(offsets, place: str, problem: str) -> None:
    sentence = words_to_sentence([f"w{i}" for i in range(20)], id="s7")
    with pytest.raises(CorpusError) as caught:
        encode(sentence, Lying(offsets))
    message = str(caught.value)
    assert message.startswith(f"Sentence 's7', {place}: {problem}")
    assert "Words: 'w0' " in message and " …; tokens: 't0'" in message
    assert "'w19'" not in message and "use a model with another tokenizer" in message


def test_words_of_the_treebanks(demo, shared_file) -> None:
    for part, most in (("dev", None), ("train", 3000)):
        corpus = read_corpus(shared_file(f"ud/en_ewt-ud-{part}.conllu")).first(most)
        kept, skipped = encode_all(corpus.sentences, demo.tokenizer, demo.max_tokens)
        assert len(kept) + len(skipped) == len(corpus) and len(skipped) < 3
        # Every word of this treebank has a token, and the token's letters are the word's.
        assert all(encoding.word_tokens.min() >= 1 for encoding in kept)
        for encoding in kept:
            for token, word in zip(encoding.tokens, encoding.words, strict=True):
                if word >= 0 and token.isascii() and encoding.sentence.words[word].isascii():
                    letters = encoding.sentence.words[word].lower()
                    assert token == "[UNK]" or token.removeprefix("##") in letters
        contractions = [
            [t for t, w in zip(e.tokens, e.words, strict=True) if w == number]
            for e in kept
            for number, word in enumerate(e.sentence.words)
            if word == "n't"
        ]
        assert len(contractions) > 50 and all(c == ["n", "'", "t"] for c in contractions)
