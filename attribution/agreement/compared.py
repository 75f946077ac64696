"""Every score against every other one, sentence by sentence."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ...errors import AttributionError
from ..floors import FLOORS, other_texts
from ..scores import IMPORTANCE, SCORES, Scores
from .statistics import DEFAULT, STATISTICS

#: Sentences with fewer items are left out: their τ takes too few values.
MIN_ITEMS = 6
HEAD = "attention"
#: Statistics that know no sign.
UNSIGNED = ("jensen_shannon",)


@dataclass(frozen=True)
class Compared:
    """Agreement in each sentence; arrays are (statistic, sentence, score, other).

    They are NaN where a sentence is too short, or a score constant or missing.
    """

    statistics: tuple[str, ...]
    names: tuple[str, ...]
    """The scores: `attention` for each head, those asked for, and last the floors."""
    layers: tuple[int | None, ...]
    """(score,) the layer of a head, None for every other score."""
    heads: tuple[int | None, ...]
    against: tuple[str, ...]
    values: np.ndarray
    chance: np.ndarray
    """The mean over all orders that the items of the other can be put in."""
    null: np.ndarray
    """The same score of another text with as many items; NaN where there is none, and for the
    floors."""
    items: np.ndarray
    """(sentence,)."""

    def of(self, sentences: np.ndarray) -> "Compared":
        """Some of the sentences."""
        return replace(
            self,
            values=self.values[:, sentences],
            chance=self.chance[:, sentences],
            null=self.null[:, sentences],
            items=self.items[sentences],
        )

    def rows(self, statistic: str, columns: dict[str, np.ndarray]) -> pd.DataFrame:
        """One row per cell of the columns (score, other), without a score against itself."""
        rows = [
            {
                "score": name,
                "against": against,
                "layer": self.layers[row],
                "head": self.heads[row],
                "statistic": statistic,
                **{column: values[row, place] for column, values in columns.items()},
            }
            for place, against in enumerate(self.against)
            for row, name in enumerate(self.names)
            if name != against
        ]
        return pd.DataFrame(rows).astype({"layer": "Int64", "head": "Int64"})

    def table(self) -> pd.DataFrame:
        """`score,against,layer,head,statistic,sentence,items,value,chance,null`: every cell of
        every sentence, where `sentence` counts those compared from 0."""
        parts = [
            self.rows(
                name,
                {
                    "value": self.values[place, sentence],
                    "chance": self.chance[place, sentence],
                    "null": self.null[place, sentence],
                },
            ).assign(sentence=sentence, items=self.items[sentence])
            for place, name in enumerate(self.statistics)
            for sentence in np.flatnonzero(self.items >= MIN_ITEMS)
        ]
        if not parts:
            raise AttributionError(
                f"None of the {len(self.items)} sentences has {MIN_ITEMS} scored words; give "
                "longer ones."
            )
        columns = ["score", "against", "layer", "head", "statistic"]
        columns += ["sentence", "items", "value", "chance", "null"]
        return pd.concat(parts, ignore_index=True)[columns]


def compare(
    scores: Sequence[Scores],
    *,
    seed: int,
    names: Sequence[str] = SCORES,
    against: Sequence[str] = IMPORTANCE,
    statistics: Sequence[str] = DEFAULT,
    signed: bool = False,
    heads: bool = True,
) -> Compared:
    """Compare the rankings of each sentence by absolute scores.

    Args:
        seed: chooses the other text of the null, as it does for the floor `other_sentence`.
        names: the scores to compare, by their names in `Scores.named`; the floors always are.
        against: the scores that they are compared with.
        statistics: which of `STATISTICS`.
        signed: rank by signed scores, the highest first. Attention and floors have no sign.
        heads: compare every head too.

    Raises:
        AttributionError: an unknown statistic, one that knows no sign for signed scores, a score
            that no sentence has, or no score at all.
    """
    _check(scores, (*names, *against), statistics, signed)
    count = len(scores[0].layers) if heads else 0
    layers, numbers = scores[0].layers[:count].tolist(), scores[0].heads[:count].tolist()
    rows = [*[HEAD] * len(layers), *names, *FLOORS]
    nothing = [None] * (len(rows) - len(layers))
    others = other_texts([own.items for own in scores], seed=seed)
    shape = len(statistics), len(scores), len(rows), len(against)
    values, chance, null = (np.full(shape, np.nan) for _ in range(3))
    matrices = [_matrix(own, rows, signed) for own in scores]
    for number, (own, other) in enumerate(zip(scores, others, strict=True)):
        if len(own.items) < MIN_ITEMS:
            continue
        reference = _matrix(own, against, signed)
        for place, name in enumerate(statistics):
            statistic = STATISTICS[name]
            values[place, number] = statistic.compare(matrices[number], reference)
            chance[place, number] = statistic.chance(matrices[number], reference)
            if other is not None:
                null[place, number] = statistic.compare(matrices[other], reference)
    # A floor knows nothing of the model, and another text's `other_sentence` may be this one's.
    null[:, :, -len(FLOORS) :] = np.nan
    return Compared(
        tuple(statistics),
        tuple(rows),
        (*layers, *nothing),
        (*numbers, *nothing),
        tuple(against),
        values,
        np.where(np.isnan(values), np.nan, chance),
        np.where(np.isnan(values), np.nan, null),
        np.array([len(own.items) for own in scores]),
    )


def _matrix(scores: Scores, rows: Sequence[str], signed: bool) -> np.ndarray:
    """(score, item), NaN where the sentence lacks a score."""
    missing = np.full(len(scores.items), np.nan)
    heads = scores.attention if HEAD in rows else np.zeros((0, len(missing)))
    found = np.vstack([heads, *[scores.named.get(name, missing) for name in rows if name != HEAD]])
    return found if signed else np.abs(found)


def _check(
    scores: Sequence[Scores], names: Sequence[str], statistics: Sequence[str], signed: bool
) -> None:
    """Refuse, before any work, what cannot be compared."""
    if not scores:
        raise AttributionError("There are no scores to compare; give those of one text or more.")
    for name in statistics:
        if name not in STATISTICS:
            raise AttributionError(f"statistic is {name!r}; give some of {', '.join(STATISTICS)}.")
        if signed and name in UNSIGNED:
            raise AttributionError(f"{name} compares sizes and knows no sign; give signed=False.")
    known = {name: None for own in scores for name in own.named}
    for name in names:
        if name not in known and name not in SCORES:
            raise AttributionError(
                f"score is {name!r}, which no text has; give some of {', '.join(known)}."
            )
