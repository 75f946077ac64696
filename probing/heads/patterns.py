"""What maps look like (Kovaleva et al. 2019, section 4.1): five classes, by transparent scores."""

from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from ...errors import CaptureError
from .accuracy import accuracy_interval
from .hits import sums_by_unit
from .rows import STATISTICS
from .scan import HeadScan

PATTERNS = ("vertical", "diagonal", "vertical+diagonal", "block", "heterogeneous")
#: What a map is classified by, see `pattern_scores`.
SCORES = ("vertical", "diagonal", "own_segment")
_NEAR = [STATISTICS.index(name) for name in ("previous", "self", "next")]
#: Where chance is nearer to 1 than this there is no room beyond it (a text alone is one segment).
_NO_ROOM = 1e-6


@dataclass(frozen=True)
class Thresholds:
    """Scores from which a map has a pattern, see `classify`.

    The defaults have the largest mean recall over a grid of steps of .05 on synthetic maps of
    known class: 8 to 96 tokens, patterns holding 45 to 95 % of the weight, vertical and diagonal
    ones with up to 10 % of the other, heterogeneous ones with up to 40 % of another pattern. On
    other such maps (300 of each class) recall is .99 or more, and .89 for heterogeneous: weight on
    a neighbour two to four tokens away mostly stays in the segment, so a pair's map becomes a
    block. Blocks of three or four tokens pass for diagonals.

    Raises:
        CaptureError: a threshold outside 0 to 1, or `part` above `dominant`.
    """

    dominant: float = 0.4
    """For vertical, for diagonal, and for the sum of both."""
    part: float = 0.1
    """For each of the two where they are found together."""
    block: float = 0.4

    def __post_init__(self) -> None:
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        if any(not 0 < value <= 1 for value in given.values()) or self.part > self.dominant:
            raise CaptureError(
                f"The thresholds are {given}; each is a share of weight beyond chance, above 0 and "
                "at most 1, and part is not above dominant."
            )


#: What patterns are told apart by if nothing is said.
DEFAULT_THRESHOLDS = Thresholds()


def pattern_scores(mass: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """Weight beyond chance, (mass − chance) / (1 − chance): 0 as if spread evenly, 1 if all.

    Args:
        mass: (…, score), the share of a map's weight that is on special columns, on the three
            diagonals around i = j, and in the segment of the row, in the order of `SCORES`.
        chance: the same for attention spread evenly over the visible keys.

    Returns:
        (…, score); NaN where chance is all there is.
    """
    room = 1 - chance
    return (mass - chance) / np.where(room > _NO_ROOM, room, np.nan)


def classify(scores: np.ndarray, thresholds: Thresholds = DEFAULT_THRESHOLDS) -> np.ndarray:
    """The class of each map, as an index into `PATTERNS`; the first that holds counts.

    1. vertical+diagonal: both scores reach `part`, and their sum `dominant`;
    2. vertical, 3. diagonal: the score reaches `dominant`;
    4. block: the score of the own segment, which a diagonal has too, reaches `block`;
    5. heterogeneous: none of these.

    Args:
        scores: (…, score), from `pattern_scores`; NaN reaches no threshold.
    """
    vertical, diagonal, own = np.moveaxis(scores, -1, 0)
    both = (np.minimum(vertical, diagonal) >= thresholds.part) & (
        vertical + diagonal >= thresholds.dominant
    )
    conditions = {
        "vertical+diagonal": both,
        "vertical": vertical >= thresholds.dominant,
        "diagonal": diagonal >= thresholds.dominant,
        "block": own >= thresholds.block,
    }
    return np.select(
        list(conditions.values()),
        [PATTERNS.index(name) for name in conditions],
        PATTERNS.index("heterogeneous"),
    ).astype(np.int8)


def pattern_classes(scan: HeadScan, thresholds: Thresholds = DEFAULT_THRESHOLDS) -> np.ndarray:
    """The class of every map: (sentence, layer, head), indices into `PATTERNS`.

    Special columns are [CLS] and all [SEP]; the first token where the tokenizer has neither.
    """
    special = tuple(name for name in scan.present if name in ("cls", "sep")) or ("first",)
    columns = [STATISTICS.index(name) for name in special]
    chance = _masses(scan.baselines, scan.shards.gather("own_segment_baseline"), columns)
    shards = zip(scan.shards.tensors("statistics"), scan.shards.tensors("own_segment"), strict=True)
    order, classes = [], []
    for (members, statistics), (_, own) in shards:
        mass = _masses(statistics.numpy(), own.numpy(), columns)
        order.append(members)
        classes.append(classify(pattern_scores(mass, chance[members][:, :, None]), thresholds))
    return np.concatenate(classes)[np.concatenate(order).argsort()]


def _masses(statistics: np.ndarray, own: np.ndarray, special: list[int]) -> np.ndarray:
    """(…, score) from statistics (…, statistic) and weight in the own segment (…)."""
    parts = statistics[..., special].sum(-1), statistics[..., _NEAR].sum(-1), own
    return np.stack(parts, axis=-1)


def pattern_table(
    scan: HeadScan, *, thresholds: Thresholds = DEFAULT_THRESHOLDS, seed: int = 0
) -> pd.DataFrame:
    """How large a share of maps is of each class, by layer.

    Returns:
        Columns layer (empty for all layers together), pattern, share (of the heads' maps of a
        sentence, then mean over sentences), ci_low, ci_high, n (sentences), descriptive.
    """
    classes = pattern_classes(scan, thresholds)
    counts = np.bincount(scan.units)
    parts = []
    for layer in (*range(classes.shape[1]), None):
        maps = classes.reshape(len(classes), -1) if layer is None else classes[:, layer]
        shares = np.stack([(maps == code).mean(1) for code in range(len(PATTERNS))], axis=1)
        share, low, high, descriptive = accuracy_interval(
            sums_by_unit(shares, scan.units, len(counts)), counts, seed=seed
        )
        part = {
            "layer": pd.array([layer] * len(PATTERNS), dtype="Int64"),
            "pattern": PATTERNS,
            "share": share,
            "ci_low": low,
            "ci_high": high,
            "n": len(classes),
            "descriptive": descriptive,
        }
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)


def head_patterns(
    scan: HeadScan, *, thresholds: Thresholds = DEFAULT_THRESHOLDS, seed: int = 0
) -> pd.DataFrame:
    """The most frequent class of each head, and how frequent it is.

    Units are split into even and odd. The class is chosen on one half and its share measured on
    the other, then the halves swap; `share` and `n` pool the two, `pattern` is the even half's
    choice, and `same_pattern` says whether the odd half chose the same. Ties take the first of
    `PATTERNS`. Empty where there is but one unit.

    Returns:
        Columns layer, head, pattern, share (of sentences), ci_low, ci_high, n (sentences),
        same_pattern, descriptive.
    """
    classes = pattern_classes(scan, thresholds)
    counts = np.bincount(scan.units)
    even = scan.units % 2 == 0
    by_even, by_odd = _most_frequent(classes[even]), _most_frequent(classes[~even])
    hits = np.where(even[:, None, None], classes == by_odd, classes == by_even)
    share, low, high, descriptive = accuracy_interval(
        sums_by_unit(hits, scan.units, len(counts)), counts, seed=seed
    )
    layers, heads = share.shape
    index = pd.MultiIndex.from_product([range(layers), range(heads)], names=["layer", "head"])
    table = pd.DataFrame(
        {
            "pattern": np.array(PATTERNS)[by_even.ravel()],
            "share": share.ravel(),
            "ci_low": low.ravel(),
            "ci_high": high.ravel(),
            "n": len(classes),
            "same_pattern": (by_even == by_odd).ravel(),
            "descriptive": descriptive,
        },
        index=index,
    ).reset_index()
    return table if len(counts) > 1 else table[:0]


def _most_frequent(classes: np.ndarray) -> np.ndarray:
    """(layer, head), of classes (sentence, layer, head)."""
    votes = np.stack([(classes == code).sum(0) for code in range(len(PATTERNS))])
    return votes.argmax(0)
