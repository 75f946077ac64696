"""Tokens and words where the tokenizer gives no character offsets: one word at a time."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import CorpusError
from .pieces import SPACE_MARKS, Pieces, checked_spans, is_punctuation, is_space_mark, unalignable
from .text import Sentence

_NEEDED = (
    "tokenize",
    "convert_tokens_to_ids",
    "convert_tokens_to_string",
    "build_inputs_with_special_tokens",
    "create_token_type_ids_from_sequences",
)
#: What a tokenizer written in Python may raise for a text that it cannot read.
_FAILURES = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
#: Words of the longest text that is tokenized once for each beginning of it.
_MAX_GROWN = 400
#: A token and the index of its word, -1 for none.
_Owned = tuple[str, int]


class WordByWord:
    """Tokenizes the words of a text one at a time, so that each token has its word.

    Where the words, one by one, give the tokens of the whole text, all is said. Where they do
    not, because the tokenizer looks at what is around a word, a token belongs to the word that
    it first appears with as the text grows by a word at a time. Where a word even changes the
    tokens of those before it, the model reads the words as they are tokenized one by one.
    """

    def __init__(self, tokenizer: Any) -> None:
        """
        Raises:
            CorpusError: the tokenizer neither gives offsets nor can be asked word by word.
        """
        if missing := [name for name in _NEEDED if not callable(getattr(tokenizer, name, None))]:
            raise CorpusError(
                f"The tokenizer {type(tokenizer).__name__} gives no character offsets, and has no "
                f"{', '.join(missing)}, so its tokens cannot be lined up with words; use a model "
                "with a tokenizer of the transformers library."
            )
        self._tokenizer = tokenizer
        self._known: dict[str, list[str]] = {}

    def pieces(self, texts: Sequence[Sentence]) -> Pieces:
        """The tokens of a text or pair.

        Raises:
            CorpusError: the tokenizer fails on a word, or has no id for a token.
        """
        owned = [self._tokens_of(sentence) for sentence in texts]
        source, segments, ids = self._places(texts, [len(tokens) for tokens in owned])
        words = np.full(len(source), -1)
        punctuation = np.zeros(len(source), dtype=bool)
        for number, (sentence, tokens) in enumerate(zip(texts, owned, strict=True)):
            own = source == number
            ids[own] = self._ids(sentence, tokens)
            words[own] = [word for _, word in tokens]
            punctuation[own] = [
                word >= 0 and self._is_punctuation(token, sentence.words[word])
                for token, word in tokens
            ]
        return Pieces(ids, segments, source, words, punctuation)

    def _tokens_of(self, sentence: Sentence) -> list[_Owned]:
        ways = [self._tokens_of_cut(sentence, cut) for cut in _cuts(sentence)]
        whole = self._tokenize(sentence, sentence.text, 0, ())
        way = next((way for way in ways if [token for token, _ in way] == whole), None)
        if way is None and len(sentence) <= _MAX_GROWN:
            way = self._grown(sentence, whole)
        if way is None:
            way = max(ways, key=lambda way: _likeness([token for token, _ in way], whole))
        return [
            (token, -1 if is_space_mark(str(token)) and not _is_mark(sentence, word) else word)
            for token, word in way
        ]

    def _grown(self, sentence: Sentence, whole: list[str]) -> list[_Owned] | None:
        """The tokens of the whole text, each with the word that it first appears with.

        None where a word changes the tokens of those before it.
        """
        owners = [-1] * len(whole)
        seen = 0
        for word, (_, end) in enumerate(sentence.spans):
            tokens = self._tokenize(sentence, sentence.text[:end], word, whole[:seen])
            if tokens != whole[: len(tokens)]:
                return None
            owners[seen : len(tokens)] = [word] * (len(tokens) - seen)
            seen = len(tokens)
        return list(zip(whole, owners, strict=True))

    def _tokens_of_cut(self, sentence: Sentence, cut: list[tuple[str, int]]) -> list[_Owned]:
        owned: list[_Owned] = []
        for text, word in cut:
            if text not in self._known:
                before = [token for token, _ in owned]
                self._known[text] = self._tokenize(sentence, text, word, before)
            owned += [(token, word) for token in self._known[text]]
        return owned

    def _tokenize(
        self, sentence: Sentence, text: str, word: int, before: Sequence[str]
    ) -> list[str]:
        try:
            tokens: list[str] = self._tokenizer.tokenize(text) if text else []
        except _FAILURES as error:
            name = type(self._tokenizer).__name__
            problem = f"{name} fails on {text[:40]!r} ({type(error).__name__}: {error})"
            raise unalignable(sentence, max(word, 0), before, len(before), problem) from error
        return tokens

    def _ids(self, sentence: Sentence, tokens: list[_Owned]) -> list[int]:
        names = [token for token, _ in tokens]
        ids: list[int] = self._tokenizer.convert_tokens_to_ids(names)
        for place in (place for place, token_id in enumerate(ids) if token_id is None):
            problem = f"{names[place]!r} has no id, as the tokenizer has no token for the unknown"
            raise unalignable(sentence, max(tokens[place][1], 0), names, place, problem)
        return ids

    def _is_punctuation(self, token: str, word: str) -> bool:
        # The text of a token is known for certain only where the whole word is punctuation:
        # `##` and `@@`, which mark parts of words, are punctuation themselves.
        if is_punctuation(word):
            return True
        if not any(is_punctuation(character) for character in word):
            return False
        return is_punctuation(self._tokenizer.convert_tokens_to_string([token]).strip(SPACE_MARKS))

    def _places(
        self, texts: Sequence[Sentence], counts: Sequence[int]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Source and segment of each token, and ids: a negative one for each token of a text."""
        numbers = list(range(-1, -1 - sum(counts), -1))
        parts = [numbers[: counts[0]], numbers[counts[0] :]][: len(texts)]
        try:
            ids = np.array(self._tokenizer.build_inputs_with_special_tokens(*parts), dtype=np.int64)
            segments = self._tokenizer.create_token_type_ids_from_sequences(*parts)
            problem = None
        except _FAILURES as error:
            problem = f"{type(error).__name__}: {error}"
        if problem or ids[ids < 0].tolist() != numbers or len(segments) != len(ids):
            raise CorpusError(
                f"Sentence {texts[0].id!r}: {type(self._tokenizer).__name__} cannot add its "
                f"special tokens ({problem or 'it changes those of the text'}), so its tokens "
                "cannot be lined up with words; use a model with another tokenizer."
            )
        source = np.where(ids >= 0, -1, np.where(ids >= -counts[0], 0, 1))
        return source, np.array(segments, dtype=np.int64), ids


def _cuts(sentence: Sentence) -> list[list[tuple[str, int]]]:
    """Ways of cutting a text into strings with one word each; -1 is a string without a word.

    Space between words is on its own (for tokenizers of characters or bytes), or before the word
    that follows it (for those that drop it, or keep it on the first token of the word).
    """
    apart: list[tuple[str, int]] = []
    before: list[tuple[str, int]] = []
    end_of_last = 0
    for word, (start, end) in enumerate(checked_spans(sentence)):
        space, text = sentence.text[end_of_last:start], sentence.text[start:end]
        apart += [(space, -1), (text, word)]
        before.append((space + text, word))
        end_of_last = end
    rest = (sentence.text[end_of_last:], -1)
    return [[*apart, rest], [*before, rest]]


def _is_mark(sentence: Sentence, word: int) -> bool:
    return word >= 0 and is_space_mark(sentence.words[word])


def _likeness(tokens: list[str], whole: list[str]) -> float:
    """Twice the number of tokens that two lists share over the number they have."""
    shared = (Counter(tokens) & Counter(whole)).total()
    return 2 * shared / max(len(tokens) + len(whole), 1)
