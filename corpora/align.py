"""Words and tokens: what the tokenizer made of a sentence."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from ..errors import CorpusError
from .pieces import Pieces, is_punctuation, pieces_from_offsets
from .slow import WordByWord
from .text import Sentence

__all__ = ["Encoding", "encode", "encode_all", "is_punctuation", "misfit"]

#: Tokenizers are much faster on many texts at once; this bounds what is held in memory for it.
_BATCH = 1000
#: One text, or two for a pair.
_Texts = tuple[Sentence, ...]


@dataclass(frozen=True)
class Encoding:
    """The tokens of one text or pair of texts; all arrays have shape (token,)."""

    sentence: Sentence
    ids: np.ndarray
    segments: np.ndarray
    """Token type ids as the tokenizer gives them: 0, and mostly 1 for the second text."""
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
    second_from: int | None = None
    """The place of the first token of the second text, if there is one."""

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def word_tokens(self) -> np.ndarray:
        """Number of tokens of each word of the first text, shape (word,)."""
        return np.bincount(self.words[self.words >= 0], minlength=len(self.sentence))


def encode(sentence: Sentence, tokenizer: Any, pair: Sentence | None = None) -> Encoding:
    """Tokenize a sentence, or a pair, as the model expects it, without truncation or padding.

    A token belongs to the word whose characters it covers (to the first, if it covers several);
    one that covers only space, or no character at all, to none. Where the tokenizer gives no
    character offsets, the text is tokenized word by word.

    Raises:
        CorpusError: the tokenizer cannot read the text, or its tokens follow no order of words.
    """
    return next(_encodings([_texts(sentence, pair)], tokenizer))


def encode_all(
    sentences: Iterable[Sentence], tokenizer: Any, max_tokens: int | None
) -> tuple[list[Encoding], list[list[str]]]:
    """Encode every sentence that fits the model.

    Returns:
        The encodings, and [sentence id, reason] of each sentence that does not fit.
    """
    kept, skipped = [], []
    for encoding in _encodings(map(_texts, sentences), tokenizer):
        if reason := misfit(encoding, max_tokens):
            skipped.append([encoding.sentence.id, reason])
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


def _texts(sentence: Sentence, pair: Sentence | None = None) -> _Texts:
    if pair is None:
        pair = getattr(sentence, "pair", None)
    return (sentence,) if pair is None else (sentence, pair)


def _encodings(given: Iterable[_Texts], tokenizer: Any) -> Iterator[Encoding]:
    read = _reader(tokenizer)
    special = _id(tokenizer.cls_token_id), _id(tokenizer.sep_token_id)
    remaining = iter(given)
    while batch := list(islice(remaining, _BATCH)):
        for texts in batch:
            _check_texts(texts)
        for texts, pieces in zip(batch, read(batch), strict=True):
            yield _encoding(texts, pieces, tokenizer, *special)


def _reader(tokenizer: Any) -> Callable[[Sequence[_Texts]], list[Pieces]]:
    if getattr(tokenizer, "is_fast", False):
        return lambda batch: _read_with_offsets(batch, tokenizer)
    word_by_word = WordByWord(tokenizer)
    return lambda batch: [word_by_word.pieces(texts) for texts in batch]


def _read_with_offsets(batch: Sequence[_Texts], tokenizer: Any) -> list[Pieces]:
    pairs = [texts[1].text for texts in batch if len(texts) > 1]
    try:
        output = tokenizer(
            [texts[0].text for texts in batch],
            pairs or None,
            truncation=False,
            padding=False,
            verbose=False,
        )
    except (TypeError, ValueError) as error:
        if len(batch) > 1:  # Which of them it was, only reading one at a time can tell.
            return [pieces for texts in batch for pieces in _read_with_offsets([texts], tokenizer)]
        sentence = batch[0][0]
        raise CorpusError(
            f"Sentence {sentence.id!r}: {type(tokenizer).__name__} cannot read its text "
            f"{' | '.join(ascii(text.text[:40]) for text in batch[0])} "
            f"({type(error).__name__}: {error}); correct the text (a lone surrogate, \\ud800 to "
            "\\udfff, is no character) or leave the sentence out."
        ) from error
    return [
        pieces_from_offsets(texts, encoding)
        for texts, encoding in zip(batch, output.encodings, strict=True)
    ]


def _encoding(texts: _Texts, pieces: Pieces, tokenizer: Any, cls_id: int, sep_id: int) -> Encoding:
    added = pieces.source < 0
    cls, sep = added & (pieces.ids == cls_id), added & (pieces.ids == sep_id)
    if cls_id == sep_id:
        # One special serves as both (XLM): what stands before the text is no separator.
        before = np.arange(len(added)) < np.argmin(added)
        cls, sep = cls & before, sep & ~before
    return Encoding(
        sentence=texts[0],
        pair=texts[1] if len(texts) > 1 else None,
        second_from=int(np.argmax(pieces.source == 1)) if (pieces.source == 1).any() else None,
        ids=pieces.ids,
        segments=pieces.segments,
        words=np.where(pieces.source == 0, pieces.words, -1),
        added=added,
        cls=cls,
        sep=sep,
        punctuation=pieces.punctuation,
        tokens=tuple(tokenizer.convert_ids_to_tokens(pieces.ids.tolist())),
    )


def _check_texts(texts: _Texts) -> None:
    for text in texts:
        if not isinstance(text, Sentence):
            raise CorpusError(
                f"A sentence to encode is {text!r}; give a Sentence, as the readers of corpora do."
            )


def _id(token_id: int | None) -> int:
    # A tokenizer without this special token must match no token at all.
    return -1 if token_id is None else token_id
