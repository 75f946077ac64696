"""Random hits and misses of a head, so that a table can be checked by eye."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from .hits import Hits, hits_of
from .relations import DIRECTIONS, Dependents
from .scan import HeadScan


def sample_predictions(
    scan: HeadScan,
    dependents: Dependents,
    correct: Hits,
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
    rows, cells = [], []
    for relation, direction, layer, head in heads:
        chosen = dependents.of(relation)
        cell = layer, head, DIRECTIONS.index(direction)
        right = hits_of(correct, chosen, cell)
        for hit in (True, False):
            pool = chosen[right == hit]
            drawn = generator.choice(pool, size=min(each, len(pool)), replace=False)
            rows += [
                (relation, direction, layer, head, hit, int(dependents.sentence[i]),
                 int(dependents.word[i]), int(dependents.head[i]))
                for i in np.sort(drawn)
            ]  # fmt: skip
            cells += [cell] * len(drawn)
    columns = ["relation", "direction", "layer", "head", "correct", "sentence", "dependent",
               "gold"]  # fmt: skip
    table = pd.DataFrame(rows, columns=columns)
    table["predicted"] = _predicted(scan, table, cells)
    sentences = [scan.sentences[i] for i in table["sentence"]]
    table.insert(5, "sentence_id", [sentence.id for sentence in sentences])
    # A form may hold a space ("10 000"): a no-break space keeps it one word of the text.
    table["words"] = [
        " ".join(word.replace(" ", "\u00a0") for word in sentence.words) for sentence in sentences
    ]
    return table


def _predicted(
    scan: HeadScan, table: pd.DataFrame, cells: Sequence[tuple[int, int, int]]
) -> list[int]:
    """The word that the head of each row predicts; each shard is read once for all rows."""
    wanted = table.groupby("sentence").indices
    words = table["dependent"].tolist()
    found = [0] * len(table)
    for sentence, answers in scan.predicted():
        for row in wanted.get(sentence, ()):
            found[row] = int(answers[(words[row], *cells[row])])
    return found
