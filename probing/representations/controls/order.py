"""Shuffled word order: the model reads the right words in the wrong order."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ....corpora import Corpus, Sentence
from ....corpora.text import words_to_sentence
from ....models import LoadedModel
from ..states import States, states_of_model


def shuffled_states(
    model: LoadedModel, corpus: Corpus, layers: Sequence[int] | None = None, *, seed: int
) -> States:
    """The states of a corpus whose words the model reads in random order, back in their places.

    Rows and sentences are those of the corpus as it is, so that tasks apply unchanged. Each
    sentence has an order of its own, all orders being equally likely; its words stand apart by
    single spaces. A sentence with other tokens in another order (where tokens depend on what is
    beside them) may fit when it did not, or the other way round.

    Raises:
        CorpusError: no sentence fits the model.
        CaptureError: the hidden states cannot be had.
    """
    orders = [
        np.random.default_rng([seed, number]).permutation(len(sentence))
        for number, sentence in enumerate(corpus.sentences)
    ]
    shuffled = [
        _in_order(sentence, order) for sentence, order in zip(corpus.sentences, orders, strict=True)
    ]
    # What is skipped is known by identity: ids need not be unique.
    numbers = {id(sentence): number for number, sentence in enumerate(shuffled)}
    read = states_of_model(model, replace(corpus, sentences=tuple(shuffled)), layers)
    kept = [numbers[id(sentence)] for sentence in read.sentences]
    rows = np.concatenate(
        [
            start + np.argsort(orders[number])
            for start, number in zip(read.offsets, kept, strict=False)
        ]
    )
    return replace(
        read,
        sentences=tuple(corpus.sentences[number] for number in kept),
        read=lambda layer: read.read(layer)[rows],
        word_tokens=read.word_tokens[rows],
    )


def _in_order(sentence: Sentence, order: np.ndarray) -> Sentence:
    words = [sentence.words[word] for word in order]
    return words_to_sentence(words, id=sentence.id, document=sentence.document, pair=sentence.pair)
