"""Two consecutive paragraphs as one segment, as Clark et al. 2019 give them to BERT."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np

from ..errors import CorpusError
from .align import encode, encode_all
from .text import Corpus, Sentence, sha256_of, words_to_sentence


def paragraph_pairs(
    corpus: Corpus, tokenizer: Any, *, max_tokens: int = 128, seed: int = 0
) -> Corpus:
    """Segments `[CLS] A [SEP] B [SEP]` in which B continues A (Clark et al. 2019, section 3).

    Consecutive sentences of one document are gathered, two or more, until they fill `max_tokens`
    with the specials, then split into A and B at a random boundary between sentences. While a
    segment is too long, its longer side (B if they are equal) loses a word, from the front or
    from the back at random. What is left at the end of a document makes a shorter segment; one
    sentence alone makes none, nor does a segment whose longer side is down to one word. Segments
    are shuffled, so that `first(1000)` is a random sample.

    A corpus that names no documents is read as one. The texts are words joined by single spaces,
    without annotation; the id of each names its first and last sentence.

    Args:
        max_tokens: tokens in a segment at most, specials included.

    Raises:
        CorpusError: no segment can be made, or `max_tokens` leaves no room for two words.
    """
    generator = np.random.default_rng(seed)
    specials = _specials(corpus, tokenizer)
    if max_tokens < specials + 2:
        raise CorpusError(
            f"max_tokens is {max_tokens}; give at least {specials + 2}, for the {specials} special "
            "tokens of a pair and a word on each side."
        )
    segments = []
    for _, document in groupby(corpus.sentences, key=lambda sentence: sentence.document):
        for gathered in _gather(document, tokenizer, max_tokens - specials):
            segment = _segment(gathered, tokenizer, max_tokens, generator)
            if segment is not None:
                segments.append(segment)
    if not segments:
        raise CorpusError(
            f"{corpus.name} ({len(corpus)} sentences) gives no segment of at most {max_tokens} "
            "tokens; give a corpus with two consecutive sentences of one document, or more tokens."
        )
    shuffled = tuple(segments[i] for i in generator.permutation(len(segments)))
    texts = [(segment.text, segment.pair.text) for segment in shuffled if segment.pair]
    return Corpus(
        f"{corpus.name}, pairs of paragraphs of at most {max_tokens} tokens",
        shuffled,
        sha256_of(json.dumps(texts).encode()),
    )


def _specials(corpus: Corpus, tokenizer: Any) -> int:
    """How many special tokens a pair has."""
    if not corpus.sentences:
        return 0
    one = corpus.sentences[0]
    return int(encode(one, tokenizer, one).added.sum())


def _gather(sentences: Iterable[Sentence], tokenizer: Any, budget: int) -> Iterator[list[Sentence]]:
    """Runs of two or more sentences that reach the budget, and what is left at the end."""
    # Sentences without any token are left out.
    encodings, _ = encode_all(sentences, tokenizer, None)
    gathered: list[Sentence] = []
    tokens = 0
    for encoding in encodings:
        gathered.append(encoding.sentence)
        tokens += int((~encoding.added).sum())
        if tokens >= budget and len(gathered) > 1:
            yield gathered
            gathered, tokens = [], 0
    if len(gathered) > 1:
        yield gathered


def _segment(
    sentences: list[Sentence], tokenizer: Any, max_tokens: int, generator: np.random.Generator
) -> Sentence | None:
    """Split sentences in two and shorten what is too long; None if that leaves a side empty."""
    cut = int(generator.integers(1, len(sentences)))
    parts = sentences[:cut], sentences[cut:]
    words = [[word for sentence in part for word in sentence.words] for part in parts]
    while True:
        first, second = map(_joined, parts, words)
        encoding = encode(first, tokenizer, second)
        if len(encoding) <= max_tokens:
            return replace(first, pair=second)
        start = encoding.second_from
        of_first = int((~encoding.added[:start]).sum())
        of_second = int((~encoding.added).sum()) - of_first
        longer = words[0] if of_first > of_second else words[1]
        if len(longer) == 1:
            return None
        longer.pop(0 if generator.random() < 0.5 else -1)


def _joined(sentences: list[Sentence], words: list[str]) -> Sentence:
    """The words that are left of consecutive sentences, as one text."""
    ids = dict.fromkeys((sentences[0].id, sentences[-1].id))
    return words_to_sentence(words, id="..".join(ids), document=sentences[0].document)
