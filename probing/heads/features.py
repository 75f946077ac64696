"""Attention that words of a linguistic kind receive (Kovaleva et al. 2019, section 4.4)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...errors import CorpusError
from ...stats import bootstrap_ratio, is_descriptive, max_t
from .kinds import FEATURES, NEGATION, Feature
from .scan import HeadScan

COLUMNS = (
    "layer", "head", "feature", "mean", "ci_low", "ci_high", "n", "null", "difference",
    "difference_low", "difference_high", "p_adjusted", "n_paired", "descriptive",
)  # fmt: skip
#: What becomes of a sentence without the feature: it is skipped, as in the paper, or counts zero,
#: as in the released code (which skips it for negation alone).
ABSENT = ("skip", "zero")
SPECIALS = ("cls", "sep")
#: Other sentences that the null of a sentence is averaged over, at most: with one alone, what is
#: found for a rare feature depends on the draw.
PARTNERS = 20
#: Received attention is kept in single precision: a gap below this share of it is rounding.
_ROUNDING = 1e-6


def feature_table(scan: HeadScan, *, seed: int = 0, absent: str = "skip") -> pd.DataFrame:
    """How much attention each head pays to nouns, verbs, …, [CLS] and [SEP].

    Of the attention c_j that a word receives (the mean over all token rows, its tokens summed),
    the largest among the words that have the feature; then the mean over sentences. `null` is the
    same at the same word positions of other sentences of as many words, averaged over up to 20 of
    them, drawn at random. Each serves as many as serve it, so that sentences which draw much
    attention as a whole cancel. `null` and `difference` are over the `n_paired` sentences that have
    such partners; p is two-sided, max-T over the heads of a feature. [CLS] and [SEP] have no null:
    another sentence has them in the same place.

    Args:
        absent: one of `ABSENT`.

    Returns:
        `COLUMNS`, a block of rows for each feature; `left_out_features` names those without rows.

    Raises:
        CaptureError: the pass did not keep `received`.
        CorpusError: no feature can be measured, or an option that does not exist.
    """
    if absent not in ABSENT:
        raise CorpusError(f"absent is {absent!r}; it must be one of {', '.join(ABSENT)}.")
    scan.require("received")
    lacking = left_out_features(scan)
    names = {name for name, _ in lacking}
    parts = [
        _word_rows(scan, feature, absent == "zero" and feature.name != NEGATION, seed)
        for feature in FEATURES
        if feature.name not in names
    ]
    parts += [_special_rows(scan, name, seed) for name in SPECIALS if name not in names]
    if not parts:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in lacking)
        raise CorpusError(
            f"No feature can be measured ({reasons}); give a corpus with part-of-speech tags or "
            "dependency relations, such as CoNLL-U."
        )
    return pd.concat(parts, ignore_index=True)


def left_out_features(scan: HeadScan) -> list[list[str]]:
    """[feature, reason] of each feature that neither the corpus nor the tokenizer has."""
    found = [
        [feature.name, f"no word is annotated with {feature.mark}"]
        for feature in FEATURES
        if not any(map(len, _places(scan, feature)))
    ]
    for name in SPECIALS:
        if name not in scan.present:
            found.append([name, f"the tokenizer adds no [{name.upper()}]"])
    return found


def _places(scan: HeadScan, feature: Feature) -> list[np.ndarray]:
    """Per sentence, the words that have the feature and at least one token."""
    return [
        np.array([w for w, yes in enumerate(feature.marked(sentence)) if yes and tokens[w]], int)
        for sentence, tokens in zip(scan.sentences, scan.word_tokens, strict=True)
    ]


def _word_rows(scan: HeadScan, feature: Feature, zeros: bool, seed: int) -> pd.DataFrame:
    places = _places(scan, feature)
    counted = np.array([len(words) > 0 for words in places])
    if zeros:
        annotated = [
            any(value != "_" for value in getattr(sentence, feature.column))
            for sentence in scan.sentences
        ]
        counted |= np.array(annotated)
    served = _served(scan, seed)
    sums = _Sums.of(scan.rows("received", scan.words), places, served, scan.units)
    return _rows(feature.name, sums, scan.units, counted, counted & (served[:, 0] >= 0), seed)


def _special_rows(scan: HeadScan, name: str, seed: int) -> pd.DataFrame:
    one = np.ones(len(scan.sentences), int)
    column = SPECIALS.index(name)
    rows = ((i, row[..., column]) for i, row in scan.rows("received_specials", one))
    sums = _Sums.of(rows, [np.array([0])] * len(one), -one[:, None], scan.units)
    return _rows(name, sums, scan.units, one == 1, one == 0, seed)


def _served(scan: HeadScan, seed: int) -> np.ndarray:
    """The sentences of as many words that each serves as a partner: (sentence, partner).

    -1 where there is none. Sentences of one length stand in a ring, in random order, and each
    serves those before it: as many as serve it. One that has a word without tokens takes no part:
    nothing can attend to that word.
    """
    generator = np.random.default_rng(seed)
    lengths = np.where([tokens.all() for tokens in scan.word_tokens], scan.words, 0)
    served = np.full((len(lengths), PARTNERS), -1, np.int32)
    for length in np.unique(lengths[lengths > 0]):
        ring = generator.permutation(np.flatnonzero(lengths == length))
        for shift in range(1, min(PARTNERS + 1, len(ring))):
            served[ring, shift - 1] = np.roll(ring, shift)
    return served


@dataclass(frozen=True)
class _Sums:
    """Sums over the sentences of each unit: (unit, layer, head)."""

    own: np.ndarray
    gap: np.ndarray
    """Own minus null, of sentences with a partner."""
    null: np.ndarray
    """(layer, head), over all units."""

    @staticmethod
    def of(
        rows: Iterable[tuple[int, np.ndarray]],
        places: Sequence[np.ndarray],
        served: np.ndarray,
        units: np.ndarray,
    ) -> "_Sums":
        """Add up the largest row at the places of each sentence, and of those that it serves.

        Rows are used when they are read, and not held.

        Args:
            rows: the number of each sentence with (row, layer, head).
        """
        sums: _Sums | None = None
        for sentence, received in rows:
            if sums is None:
                shape = received.shape[1:]
                own = np.zeros((units.max() + 1, *shape))
                sums = _Sums(own, np.zeros_like(own), np.zeros(shape))
            if len(places[sentence]):
                largest = received[places[sentence]].max(0)
                sums.own[units[sentence]] += largest
                if served[sentence, 0] >= 0:
                    sums.gap[units[sentence]] += largest
            others = served[sentence][served[sentence] >= 0].tolist()
            for other in others:
                if len(places[other]):
                    share = received[places[other]].max(0).astype(float) / len(others)
                    sums.gap[units[other]] -= share
                    sums.null[...] += share
        if sums is None:
            raise CorpusError("The pass holds no sentence.")
        return sums


def _rows(
    name: str, sums: _Sums, units: np.ndarray, counted: np.ndarray, paired: np.ndarray, seed: int
) -> pd.DataFrame:
    per_unit, pairs = (
        np.bincount(units, weights=chosen, minlength=len(sums.own)) for chosen in (counted, paired)
    )
    mean, low, high = bootstrap_ratio(sums.own, per_unit, seed=seed)
    layers, heads = np.unravel_index(np.arange(mean.size), mean.shape)
    cells: dict[str, np.ndarray] = {
        "layer": layers, "head": heads, "mean": mean, "ci_low": low, "ci_high": high,
        **_against_null(sums, pairs, seed),
    }  # fmt: skip
    table = pd.DataFrame({column: values.ravel() for column, values in cells.items()})
    table["feature"] = name
    table["n"], table["n_paired"] = int(counted.sum()), int(paired.sum())
    table["descriptive"] = _is_descriptive(per_unit)
    return table[list(COLUMNS)]


def _against_null(sums: _Sums, pairs: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    unknown = np.full(sums.null.shape, np.nan)
    names = "null", "difference", "difference_low", "difference_high", "p_adjusted"
    found = dict.fromkeys(names, unknown)
    if pairs.any():
        found["null"] = sums.null / pairs.sum()
        gap = np.where(np.abs(sums.gap) > _ROUNDING * sums.own, sums.gap, 0.0)
        found["difference"], low, high = bootstrap_ratio(gap, pairs, seed=seed)
        if not _is_descriptive(pairs):
            found["difference_low"], found["difference_high"] = low, high
            found["p_adjusted"] = max_t(gap[pairs > 0], seed=seed)
    return found


def _is_descriptive(per_unit: np.ndarray) -> bool:
    return bool(is_descriptive(int(per_unit.sum()), int((per_unit > 0).sum())))
