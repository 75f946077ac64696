"""Bigram shift (Conneau et al. 2018): a corpus in which half of the sentences are out of order."""

from itertools import pairwise

from ....corpora import Corpus, Sentence
from ....corpora.text import sha256_of
from ....errors import CorpusError
from .draws import generator_of

#: The labels, as SentEval has them: in the original order, and inverted.
INTACT, SHIFTED = "O", "I"


def shift_bigrams(corpus: Corpus, seed: int = 0) -> Corpus:
    """Swap two neighbouring words in half of the sentences; the label says which (`I`, else `O`).

    Whether a sentence is shifted, and where, depends on its text and the seed alone. Both words
    are of letters or digits, and differ but for capitals: a full stop inside a sentence would tell
    by itself. Sentences without two such words are left out. Other annotation is dropped.

    Raises:
        CorpusError: no sentence is left.
    """
    shifted = [_drawn(sentence, seed) for sentence in corpus.sentences]
    kept = tuple(sentence for sentence in shifted if sentence is not None)
    if not kept:
        raise CorpusError(
            f"No sentence of {corpus.name} has two different words side by side, so none can be "
            "shifted; give running text."
        )
    digest = sha256_of(f"{corpus.sha256} shifted by seed {seed}".encode())
    return Corpus(f"{corpus.name}, bigrams shifted", kept, digest)


def _drawn(sentence: Sentence, seed: int) -> Sentence | None:
    words = [word if any(map(str.isalnum, word)) else "" for word in sentence.words]
    places = [
        place
        for place, (one, next_one) in enumerate(pairwise(words))
        if one and next_one and one.lower() != next_one.lower()
    ]
    if not places:
        return None
    generator = generator_of(sentence.text, seed)
    if generator.integers(2) == 0:
        return _bare(sentence, sentence.text, sentence.spans, INTACT)
    return _swapped(sentence, places[generator.integers(len(places))])


def _swapped(sentence: Sentence, place: int) -> Sentence:
    (start, middle), (other, end) = sentence.spans[place : place + 2]
    text, between = sentence.text, sentence.text[middle:other]
    first, second = text[other:end], text[start:middle]
    spans = list(sentence.spans)
    spans[place] = (start, start + len(first))
    spans[place + 1] = (end - len(second), end)
    whole = text[:start] + first + between + second + text[end:]
    return _bare(sentence, whole, tuple(spans), SHIFTED)


def _bare(
    sentence: Sentence, text: str, spans: tuple[tuple[int, int], ...], label: str
) -> Sentence:
    return Sentence(sentence.id, text, spans, document=sentence.document, label=label)
