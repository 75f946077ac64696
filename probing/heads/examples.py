"""Random hits and misses of a head, so that a table can be checked by eye."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from .relations import DIRECTIONS, Dependents
from .scan import HeadScan


def sample_predictions(
    scan: HeadScan,
    dependents: Dependents,
    heads: Sequence[tuple[str, str, int, int]],
    *,
    seed: int,
    each: int = 3,
) -> pd.DataFrame:
    """Draw hits and misses at random.

    Args:
        heads: (relation, direction, layer, head) of each head to show.
        each: how many hits, and how many misses, per head.

    Returns:
        One row per drawn dependent: where it is, what the head predicted, the gold head;
        words are indices from 0, `predicted` is -1 where the head predicts none.
    """
    generator = np.random.default_rng(seed)
    rows = []
    for relation, direction, layer, head in heads:
        chosen = dependents.of(relation)
        predicted = np.array(
            [
                scan.predictions[s][layer, head, DIRECTIONS.index(direction), w]
                for s, w in zip(dependents.sentence[chosen], dependents.word[chosen], strict=True)
            ]
        )
        right = predicted == dependents.head[chosen]
        for correct in (True, False):
            pool = np.flatnonzero(right == correct)
            drawn = generator.choice(pool, size=min(each, len(pool)), replace=False)
            rows += [
                (relation, direction, layer, head, correct, int(dependents.sentence[chosen[i]]),
                 int(dependents.word[chosen[i]]), int(dependents.head[chosen[i]]),
                 int(predicted[i]))
                for i in np.sort(drawn)
            ]  # fmt: skip
    columns = ["relation", "direction", "layer", "head", "correct", "sentence", "dependent",
               "gold", "predicted"]  # fmt: skip
    table = pd.DataFrame(rows, columns=columns)
    sentences = [scan.encodings[i].sentence for i in table["sentence"]]
    table.insert(5, "sentence_id", [sentence.id for sentence in sentences])
    # A form may hold a space ("10 000"): a no-break space keeps it one word of the text.
    table["words"] = [
        " ".join(word.replace(" ", "\u00a0") for word in sentence.words) for sentence in sentences
    ]
    return table
