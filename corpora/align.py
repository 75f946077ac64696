"""Words and tokens: what the tokenizer made of a sentence."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import CorpusError
from .text import Sentence


@dataclass(frozen=True)
class Encoding:
    """The tokens of one text or pair of texts; all arrays have shape (token,)."""

    sentence: Sentence
    ids: np.ndarray
    segments: np.ndarray
    """Token type ids: 0 for the first text, 1 for the second."""
    words: np.ndarray
    """Index of the word of the first text that a token belongs to; -1 for every other token."""
    added: np.ndarray
    """True where the tokenizer added a special token."""
    cls: np.ndarray
    sep: np.ndarray
    punctuation: np.ndarray
    """True where the text of the token, stripped, is all punctuation (Unicode category P)."""
    tokens: tuple[str, ...]
    pair: Sentence | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def word_tokens(self) -> np.ndarray:
        """Number of tokens of each word of the first text, shape (word,)."""
        return np.bincount(self.words[self.words >= 0], minlength=len(self.sentence))


def encode(sentence: Sentence, tokenizer: Any, pair: Sentence | None = None) -> Encoding:
    """Tokenize a sentence, or a pair, as the model expects it, without truncation or padding.

    A token belongs to the word whose characters it covers (to the first, if it covers several).

    Raises:
        CorpusError: the tokenizer gives no character offsets.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise CorpusError(
            f"The tokenizer {type(tokenizer).__name__} gives no character offsets, so its tokens "
            "cannot be lined up with words; use a model with a fast tokenizer."
        )
    output = tokenizer(
        sentence.text,
        pair.text if pair else None,
        return_offsets_mapping=True,
        return_token_type_ids=True,
        truncation=False,
        padding=False,
        verbose=False,
    )
    encoding = output.encodings[0]
    source = np.array([-1 if s is None else s for s in encoding.sequence_ids])
    ids = np.array(output["input_ids"], dtype=np.int64)
    texts = [sentence.text, pair.text if pair else ""]
    pieces = [
        "" if s < 0 else texts[s][start:end].strip()
        for s, (start, end) in zip(source, encoding.offsets, strict=True)
    ]
    added = source < 0
    return Encoding(
        sentence=sentence,
        pair=pair,
        ids=ids,
        segments=np.array(output["token_type_ids"], dtype=np.int64),
        words=_words_of_tokens(sentence, encoding.offsets, source),
        added=added,
        cls=added & (ids == _id(tokenizer.cls_token_id)),
        sep=added & (ids == _id(tokenizer.sep_token_id)),
        punctuation=np.array([is_punctuation(piece) for piece in pieces], dtype=bool),
        tokens=tuple(tokenizer.convert_ids_to_tokens(ids.tolist())),
    )


def encode_all(
    sentences: Iterable[Sentence], tokenizer: Any, max_tokens: int | None
) -> tuple[list[Encoding], list[list[str]]]:
    """Encode every sentence that fits the model.

    Returns:
        The encodings, and [sentence id, reason] of each sentence that does not fit.
    """
    kept, skipped = [], []
    for sentence in sentences:
        encoding = encode(sentence, tokenizer)
        if reason := misfit(encoding, max_tokens):
            skipped.append([sentence.id, reason])
        else:
            kept.append(encoding)
    return kept, skipped


def misfit(encoding: Encoding, max_tokens: int | None) -> str | None:
    """Why the model cannot read this text whole, or None if it can."""
    if max_tokens is not None and len(encoding) > max_tokens:
        return f"{len(encoding)} tokens, the model reads at most {max_tokens}"
    if not (encoding.words >= 0).any():
        return "no token belongs to a word"
    return None


def is_punctuation(text: str) -> bool:
    """Whether a text is non-empty and every character is of Unicode category P."""
    return bool(text) and all(unicodedata.category(c).startswith("P") for c in text)


def _words_of_tokens(
    sentence: Sentence, offsets: list[tuple[int, int]], source: np.ndarray
) -> np.ndarray:
    word_at = np.full(len(sentence.text) + 1, -1)
    for word, (start, end) in enumerate(sentence.spans):
        word_at[start:end] = word
    words = np.full(len(offsets), -1)
    for token, (start, end) in enumerate(offsets):
        if source[token] == 0:
            covered = word_at[start:end]
            covered = covered[covered >= 0]
            words[token] = covered[0] if len(covered) else -1
    return words


def _id(token_id: int | None) -> int:
    # A tokenizer without this special token must match no token at all.
    return -1 if token_id is None else token_id
