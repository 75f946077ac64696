"""The tokens of a text and the words they belong to, from the tokenizer's character offsets."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import CorpusError
from .text import Sentence

#: How tokenizers write a space inside a token.
SPACE_MARKS = "▁Ġ "
#: How many words, or tokens, an error message shows on each side of the place it is about.
_SHOWN = 4


@dataclass(frozen=True)
class Pieces:
    """The tokens of one text or pair of texts; all arrays have shape (token,)."""

    ids: np.ndarray
    segments: np.ndarray
    source: np.ndarray
    """0 for a token of the first text, 1 for the second, -1 for one that the tokenizer added."""
    words: np.ndarray
    """Index of the word of its own text that a token belongs to; -1 for none."""
    punctuation: np.ndarray


def pieces_from_offsets(texts: Sequence[Sentence], encoding: Any) -> Pieces:
    """The tokens of a text or pair; each belongs to the first word that it covers a character of.

    Args:
        encoding: what the `tokenizers` library made of the text or pair.

    Raises:
        CorpusError: words, or the words of the tokens, are not in the order of the text.
    """
    tokens, offsets = encoding.tokens, encoding.offsets
    source = [-1 if s is None else s for s in encoding.sequence_ids]
    words, punctuation = [-1] * len(tokens), [False] * len(tokens)
    # Plain lists: texts are short, and arrays of a few numbers are slow.
    word_at = [_word_at(sentence) for sentence in texts]
    last_word = [-1] * len(texts)
    for token, (number, (start, end)) in enumerate(zip(source, offsets, strict=True)):
        if number < 0 or _on_no_character(token, tokens, offsets, source):
            continue
        sentence = texts[number]
        if not 0 <= start <= end <= len(sentence.text):
            raise _outside(sentence, tokens, token, start, end)
        punctuation[token] = is_punctuation(sentence.text[start:end].strip())
        word = next((word for word in word_at[number][start:end] if word >= 0), -1)
        if 0 <= word < last_word[number]:
            problem = f"{tokens[token]!r} covers it, after a token of a later word"
            raise unalignable(sentence, word, tokens, token, problem)
        words[token] = word
        last_word[number] = max(word, last_word[number])
    return Pieces(
        ids=np.array(encoding.ids, dtype=np.int64),
        segments=np.array(encoding.type_ids, dtype=np.int64),
        source=np.array(source, dtype=np.int64),
        words=np.array(words, dtype=np.int64),
        punctuation=np.array(punctuation, dtype=bool),
    )


def is_punctuation(text: str) -> bool:
    """Whether a text is non-empty and every character is of Unicode category P."""
    if text.isalnum():  # Most texts are: a quick way out.
        return False
    return bool(text) and all(unicodedata.category(c).startswith("P") for c in text)


def is_space_mark(token: str) -> bool:
    """Whether a token writes nothing but space."""
    return not token.strip(SPACE_MARKS)


def checked_spans(sentence: Sentence) -> tuple[tuple[int, int], ...]:
    """Start and end of each word.

    Raises:
        CorpusError: words that overlap, are out of order or lie outside the text.
    """
    end_of_last, length = 0, len(sentence.text)
    for word, (start, end) in enumerate(sentence.spans):
        if not end_of_last <= start <= end <= length:
            raise CorpusError(
                f"Sentence {sentence.id!r}: word {word} has the characters {start} to {end} of a "
                f"text of {length}, after a word that ends at {end_of_last}; words must lie inside "
                "the text, in its order, and not overlap."
            )
        end_of_last = end
    return sentence.spans


def unalignable(
    sentence: Sentence, word: int, tokens: Sequence[str], token: int, problem: str
) -> CorpusError:
    """The error for a sentence whose tokens cannot be given to words, which shows the place."""
    name = f"word {word} ({sentence.words[word]!r})" if sentence.words else "a text without words"
    return CorpusError(
        f"Sentence {sentence.id!r}, {name}: {problem}. "
        f"Words: {_around(sentence.words, word)}; tokens: {_around(tokens, token)}. "
        "Leave this sentence out of the corpus, or use a model with another tokenizer."
    )


def _word_at(sentence: Sentence) -> list[int]:
    """The word of each character; -1 between words."""
    word_at = [-1] * len(sentence.text)
    for word, (start, end) in enumerate(checked_spans(sentence)):
        word_at[start:end] = [word] * (end - start)
    return word_at


def _on_no_character(
    token: int, tokens: list[str], offsets: list[tuple[int, int]], source: list[int]
) -> bool:
    """Whether a token is a space mark that the tokenizer put before a word of its own accord.

    Offsets may put it on the first character of that word, where the next token begins too.
    """
    return (
        is_space_mark(tokens[token])
        and source[token : token + 2] == source[token : token + 1] * 2
        and offsets[token][0] == offsets[token + 1][0]
    )


def _outside(
    sentence: Sentence, tokens: Sequence[str], token: int, start: int, end: int
) -> CorpusError:
    length = len(sentence.text)
    word = sum(word_end <= start for _, word_end in sentence.spans)
    problem = f"{tokens[token]!r} has the characters {start} to {end} of a text of {length}"
    return unalignable(sentence, min(word, len(sentence) - 1), tokens, token, problem)


def _around(items: Sequence[str], place: int) -> str:
    start, end = max(place - _SHOWN, 0), place + _SHOWN + 1
    shown = [repr(item if len(item) <= 20 else item[:19] + "…") for item in items[start:end]]
    return " ".join(["…"] * (start > 0) + shown + ["…"] * (end < len(items))) or "none"
