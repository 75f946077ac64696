"""What is read off the word maps of a text: antecedents of mentions, weights of links."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from ...capture.shards import Record
from ...corpora import Sentence
from .options import ScanOptions
from .spans import Anaphor, Link, anaphors, links, shuffled

#: From the word maps (layer, head, word, word) of one text to what is kept of it.
Reader = Callable[[np.ndarray, Sentence, ScanOptions], Record]


def antecedents(maps: np.ndarray, sentence: Sentence, options: ScanOptions) -> Record:
    """`antecedents` (anaphor, layer, head, direction): the candidate word with the most weight.

    Direction 0 reads the anaphor's row, 1 its column; -1 where all weights are zero.
    """
    found = [_antecedent(maps, one) for one in anaphors(sentence, options.candidates)]
    stacked = np.stack(found) if found else np.empty((0, *maps.shape[:2], 2), np.int16)
    return {"antecedents": torch.from_numpy(stacked)}


def _antecedent(maps: np.ndarray, anaphor: Anaphor) -> np.ndarray:
    words = np.array(anaphor.candidates)
    answers = []
    for weights in (maps[..., anaphor.word, words], maps[..., words, anaphor.word]):
        best = weights.argmax(-1)
        most = np.take_along_axis(weights, best[..., None], -1)[..., 0]
        answers.append(np.where(most > 0, words[best], -1).astype(np.int16))
    return np.stack(answers, axis=-1)


def link_weights(maps: np.ndarray, sentence: Sentence, options: ScanOptions) -> Record:
    """`links` and `shuffled_links` (link, layer, head, direction): weights of word pairs.

    Direction 0 is from the predicate to the argument, 1 back; of an argument of several words
    the largest weight counts. NaN where there is no other pair to take.
    """
    linked = links(sentence)
    others = shuffled(linked, maps.shape[-1], [options.seed, *sentence.id.encode()])
    return {
        "links": _weights(maps, linked),
        "shuffled_links": _weights(maps, others),
    }


def _weights(maps: np.ndarray, linked: Sequence[Link | None]) -> torch.Tensor:
    values = np.full((len(linked), *maps.shape[:2], 2), np.nan, np.float32)
    for row, link in enumerate(linked):
        if link is not None:
            words = list(link.argument)
            values[row, ..., 0] = maps[..., link.predicate, words].max(-1)
            values[row, ..., 1] = maps[..., words, link.predicate].max(-1)
    return torch.from_numpy(values)


#: The parts of a pass that read word maps one text at a time.
READERS: dict[str, Reader] = {"antecedents": antecedents, "links": link_weights}
