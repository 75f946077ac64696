"""What holds for the words of tokens whatever the text and the tokenizer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertology.corpora import Sentence, encode
from bertology.corpora.text import words_to_sentence

OFFSETS = [
    "wordpiece",
    "bytes trimmed",
    "bytes untrimmed",
    "bytes prefixed",
    "bytes prefixed untrimmed",
    "unigram",
    "unigram unprefixed",
    "prepended",
    "characters",
    "characters NFC",
    "characters NFKD",
]
TRUE_TO_TEXT = [name for name in OFFSETS if name not in ("wordpiece", "characters NFC")]
SLOW = [
    "canine",
    "byt5",
    "ctrl",
    "xlm",
    "flaubert",
    "japanese wordpiece",
    "japanese characters",
    "slow byte-level",
]
PARTS = [
    *["a", "b", "Do", "the", "n't", "n’t", "'s", "I'm", "U.S.", ".", ",", "(", "…", "$", "#", "@@"],
    *["日", "本語", "。", "مرحبا", "é", "e\u0301", "ﬁ", "İ", "ß", "½", "\u0301", "▁", "Ġ"],
    *["👩\u200d👩\u200d👧", "👍🏽", "❤\ufe0f", "\u200d", "\u200b", "\ufe0f", "\u00ad", "\x07"],
]
WORDS = st.lists(st.sampled_from(PARTS), min_size=1, max_size=3).map("".join)
SENTENCES = st.lists(WORDS, min_size=1, max_size=7).map(
    lambda words: words_to_sentence(words, id="s")
)
law = settings(derandomize=True, max_examples=60, deadline=None)


@pytest.mark.parametrize("name", OFFSETS + SLOW)
def test_words_follow_the_text_and_specials_have_none(tokenizer_named, name: str) -> None:
    @law
    @given(SENTENCES)
    def holds(sentence: Sentence) -> None:
        encoding = encode(sentence, tokenizer_named(name))
        assert (encoding.words[encoding.added] == -1).all()
        assert (np.diff(encoding.words[encoding.words >= 0]) >= 0).all()
        assert encoding.words.max(initial=-1) < len(sentence)
        assert not (encoding.punctuation & encoding.added).any()
        assert ((encoding.cls | encoding.sep) <= encoding.added).all()

    holds()


@pytest.mark.parametrize("name", OFFSETS)
def test_a_token_covers_a_character_of_its_word(tokenizer_named, name: str) -> None:
    tokenizer = tokenizer_named(name)

    @law
    @given(SENTENCES)
    def holds(sentence: Sentence) -> None:
        encoding = encode(sentence, tokenizer)
        output = tokenizer(sentence.text, return_offsets_mapping=True)
        assert encoding.ids.tolist() == output["input_ids"]
        for word, (start, end) in zip(encoding.words, output["offset_mapping"], strict=True):
            if word >= 0:
                word_start, word_end = sentence.spans[word]
                assert max(start, word_start) < min(end, word_end)

    holds()


@pytest.mark.parametrize("name", [name for name in SLOW if name not in ("xlm", "flaubert")])
def test_the_model_reads_what_the_tokenizer_gives(tokenizer_named, name: str) -> None:
    tokenizer = tokenizer_named(name)

    @law
    @given(SENTENCES)
    def holds(sentence: Sentence) -> None:
        assert encode(sentence, tokenizer).ids.tolist() == tokenizer(sentence.text)["input_ids"]

    holds()


@pytest.mark.parametrize("name", TRUE_TO_TEXT)
def test_the_characters_of_its_tokens_are_the_word(tokenizer_named, name: str) -> None:
    tokenizer = tokenizer_named(name)

    @law
    @given(SENTENCES)
    def holds(sentence: Sentence) -> None:
        encoding = encode(sentence, tokenizer)
        offsets = np.array(tokenizer(sentence.text, return_offsets_mapping=True)["offset_mapping"])
        for number, word in enumerate(sentence.words):
            own = offsets[encoding.words == number]
            assert sentence.text[own[:, 0].min() : own[:, 1].max()].strip() == word

    holds()


@pytest.mark.parametrize("name", OFFSETS + SLOW)
def test_only_words_that_the_tokenizer_drops_have_no_token(tokenizer_named, name: str) -> None:
    tokenizer = tokenizer_named(name)

    @law
    @given(SENTENCES)
    def holds(sentence: Sentence) -> None:
        encoding = encode(sentence, tokenizer)
        for word, count in zip(sentence.words, encoding.word_tokens, strict=True):
            alone = "".join(tokenizer.tokenize(word)).strip("▁Ġ ")
            assert bool(count) == bool(alone) or not word.strip("▁Ġ")

    holds()


@pytest.mark.parametrize("name", OFFSETS + SLOW)
def test_a_second_text_changes_nothing_of_the_first(tokenizer_named, name: str) -> None:
    tokenizer = tokenizer_named(name)

    @law
    @given(SENTENCES, SENTENCES)
    def holds(first: Sentence, second: Sentence) -> None:
        alone, other = encode(first, tokenizer), encode(second, tokenizer)
        both = encode(first, tokenizer, second)
        own, others = np.flatnonzero(~alone.added), np.flatnonzero(~other.added)
        inside = np.flatnonzero(~both.added)
        for field in ("ids", "punctuation"):
            parts = [getattr(alone, field)[own], getattr(other, field)[others]]
            assert getattr(both, field)[inside].tolist() == np.concatenate(parts).tolist()
        assert both.words[inside].tolist() == alone.words[own].tolist() + [-1] * len(others)
        assert (both.words[both.added] == -1).all() and both.pair is second

    holds()
