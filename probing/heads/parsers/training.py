"""What the learned parsers share: holding sentences out, and the score they are chosen by."""

from collections.abc import Callable, Sequence

import numpy as np

from .features import LEFT_OUT, ParserInput
from .trees import best_candidates

#: Share of the training sentences that choices are made on.
HELD_OUT = 0.2


def hold_out(
    sentences: Sequence[ParserInput], seed: int
) -> tuple[list[ParserInput], list[ParserInput]]:
    """Sentences to fit on and sentences to choose by, drawn at random."""
    order = np.random.default_rng(seed).permutation(len(sentences)).tolist()
    held = int(len(sentences) * HELD_OUT)
    return [sentences[i] for i in order[held:]], [sentences[i] for i in order[:held]]


def attachment(scores: Callable[[ParserInput], np.ndarray], on: Sequence[ParserInput]) -> float:
    """UAS of the best candidate of each word of some sentences."""
    correct, words = 0, 0
    for sentence in on:
        gold = sentence.gold.numpy()
        counted = gold != LEFT_OUT
        correct += int((best_candidates(scores(sentence)) + 1 == gold)[counted].sum())
        words += int(counted.sum())
    return correct / max(words, 1)
