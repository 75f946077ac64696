"""Sources of states: their rows are the words of the model's own states."""

from dataclasses import replace

import numpy as np
import pytest

from bertology.errors import CorpusError
from bertology.probing.representations.sweep.sources import _same_words


def test_words_that_a_control_reads_otherwise_are_refused(make_states):
    own = make_states(0, 20, 1.0)
    more = replace(own, word_tokens=own.word_tokens + 1)
    assert _same_words("shuffled_words", own, more) is more  # how many tokens a word has is free
    tokens = own.word_tokens.copy()
    tokens[[10, 12]] = 0
    other = replace(own, word_tokens=tokens)
    assert _same_words("shuffled_words", other, other) is other
    for pair in ((own, other), (other, own)):
        with pytest.raises(CorpusError, match=r"2 words .* shuffled_words, .* sentence 's10'"):
            _same_words("shuffled_words", *pair)


def test_sentences_that_a_control_lacks_are_named(make_states):
    own = make_states(0, 20, 1.0)
    fewer = replace(
        own, sentences=own.sentences[1:], word_tokens=np.ones(15, int), skipped=(("s0", "long"),)
    )
    with pytest.raises(CorpusError, match=r"'s0' \(long\)"):
        _same_words("random_layers", own, fewer)
