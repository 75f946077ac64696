"""Random hits and misses of a head, so that a table can be checked by eye."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ...errors import CaptureError, CorpusError
from .hits import Hits, hits_of
from .relations import DIRECTIONS, Dependents, gold_dependents, score
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
        words are indices from 0, `predicted` is -1 where the head predicts none, `gold` at a root.
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


def hits_and_misses(
    scan: HeadScan,
    relation: str,
    layer: int,
    head: int,
    direction: str = DIRECTIONS[0],
    *,
    seed: int = 0,
    each: int = 3,
    labels: str = "subtypes",
) -> pd.DataFrame:
    """Random hits and misses of one head on one relation, as words to read.

    Args:
        each: how many hits, and how many misses.
        labels: see `gold_dependents`.

    Returns:
        `correct`, then the words `dependent`, `gold` and `predicted` (empty where the head
        predicts none), `sentence_id` and `words`, the sentence.

    Raises:
        CaptureError: a head or direction that does not exist, or the pass kept no predictions.
        CorpusError: no dependent has the relation.
    """
    dependents = gold_dependents(
        scan.sentences, scan.word_tokens, scan.units.tolist(), labels=labels
    )
    correct = score(dependents, scan.predicted())
    _check_head(correct.shape, layer, head, direction)
    if not len(dependents.of(relation)):
        known = ", ".join(dependents.relations) if len(dependents) else "none: it has no trees"
        raise CorpusError(
            f"No dependent of the corpus has the relation {relation!r}; there are {known}."
        )
    named = [(relation, direction, layer, head)]
    drawn = sample_predictions(scan, dependents, correct, named, seed=seed, each=each)
    table = drawn[["correct", "dependent", "gold", "predicted", "sentence_id", "words"]].copy()
    words = [scan.sentences[i].words for i in drawn["sentence"]]
    for column in ("dependent", "gold", "predicted"):
        table[column] = [
            own[place] if place >= 0 else ""
            for own, place in zip(words, drawn[column], strict=True)
        ]
    return table


def _check_head(shape: tuple[int, ...], layer: int, head: int, direction: str) -> None:
    layers, heads, _ = shape
    if direction not in DIRECTIONS:
        raise CaptureError(
            f"direction is {direction!r}; it must be one of {', '.join(DIRECTIONS)}."
        )
    if layers and not (0 <= layer < layers and 0 <= head < heads):
        raise CaptureError(
            f"There is no L{layer}H{head}; this model has L0H0 to L{layers - 1}H{heads - 1}."
        )


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
