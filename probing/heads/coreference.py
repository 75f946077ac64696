"""Heads that find antecedents (Clark et al. 2019, section 4.3).

An anaphor is a mention of an entity that the same text mentions before. A head is right if, of all
candidates, the one with the most weight between it and the anaphor's head word is the head word of
a mention of the same entity; ties take the first, and no weight at all is wrong.

Head words: the first word of a span whose syntactic head lies outside of it; without a tree, the
last word before the first preposition, relative or punctuation mark (`corpora.mentions`).
Candidates: the head words of all mentions that begin before the anaphor and whose head words stand
before its own. With `ScanOptions(candidates="all")`, for passages that ask what one pronoun means,
they are those of all other mentions, and only mentions of the kind `pronoun` are anaphors. The
paper says nothing of either. Its OntoNotes marks no mention of what is mentioned only once; a
corpus that does has more candidates, and is harder.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...corpora.mentions import TYPES, mention_type
from ...errors import CorpusError
from .accuracy import accuracy_interval, head_accuracies
from .coreference_baselines import BASELINES, baseline_scores
from .halves import best_on_halves, tested
from .hits import Hits, sums_by_unit
from .relations import ALL
from .scan import HeadScan
from .spans import Anaphor, anaphors

#: The weights that are read: the anaphor's row, or its column (the candidate that attends most
#: to it).
DIRECTIONS = ("anaphor_to_antecedent", "antecedent_to_anaphor")
BEST_COLUMNS = (
    "mention_type", "direction", "layer", "head", "accuracy", "ci_low", "ci_high", "n",
    "baseline", "baseline_accuracy", "p_adjusted", "same_head",
    "difference", "difference_low", "difference_high", "descriptive",
)  # fmt: skip


@dataclass(frozen=True)
class Anaphors:
    """The anaphors of a corpus and who got them right; arrays have shape (anaphor, …)."""

    mention_type: np.ndarray
    unit: np.ndarray
    baselines: np.ndarray
    """(anaphor, baseline), what each of `BASELINES` scores."""
    correct: Hits
    """(anaphor, layer, head, direction)."""
    left_out: int
    """Anaphors left out because they, or a candidate, have no token."""

    def __len__(self) -> int:
        return len(self.unit)

    def groups(self) -> Iterator[tuple[str, np.ndarray]]:
        """`all` and each mention type, if there are several, with the indices of its anaphors.

        A single type would be `all` over again, and a test of it counted twice.
        """
        yield ALL, np.arange(len(self))
        there = [name for name in TYPES if (self.mention_type == name).any()]
        for name in there if len(there) > 1 else ():
            yield name, np.flatnonzero(self.mention_type == name)


def score_anaphors(scan: HeadScan) -> Anaphors:
    """Whether each head and each baseline found the antecedent of each anaphor.

    Raises:
        CaptureError: the pass did not keep antecedents.
        CorpusError: the corpus has no anaphor.
    """
    scan.require("antecedents")
    found = [anaphors(sentence, scan.options.candidates) for sentence in scan.sentences]
    whole = [
        np.array([_has_tokens(anaphor, tokens) for anaphor in own], bool)
        for own, tokens in zip(found, scan.word_tokens, strict=True)
    ]
    kept = [
        (sentence, unit, anaphor)
        for sentence, unit, own, chosen in zip(
            scan.sentences, scan.units.tolist(), found, whole, strict=True
        )
        for anaphor, has_tokens in zip(own, chosen, strict=True)
        if has_tokens
    ]
    if not kept:
        raise CorpusError(
            "No text that was read mentions an entity twice; give one with coreference, and join "
            "the sentences of a document where antecedents stand in sentences before."
        )
    return Anaphors(
        np.array([mention_type(s, s.mentions[a.mention]) for s, _, a in kept], dtype=object),
        np.array([unit for _, unit, _ in kept]),
        np.array([baseline_scores(sentence, anaphor) for sentence, _, anaphor in kept]),
        _hits(scan, found, whole),
        sum(map(len, found)) - len(kept),
    )


def _has_tokens(anaphor: Anaphor, tokens: np.ndarray) -> bool:
    return bool(tokens[[anaphor.word, *anaphor.candidates]].all())


def _hits(scan: HeadScan, found: list[list[Anaphor]], whole: list[np.ndarray]) -> Hits:
    """Of the anaphors that are whole, in the order of the corpus."""
    ends = np.cumsum([chosen.sum() for chosen in whole])
    hits: Hits | None = None
    for number, answers in scan.rows("antecedents", np.array([len(own) for own in found])):
        if hits is None:
            hits = Hits.empty(int(ends[-1]), answers.shape[1:])
        right = np.zeros(answers.shape, bool)
        for row, anaphor in enumerate(found[number]):
            right[row] = np.isin(answers[row], np.array(anaphor.candidates)[list(anaphor.correct)])
        chosen = whole[number]
        hits.put(slice(int(ends[number] - chosen.sum()), int(ends[number])), right[chosen])
    return Hits.empty(0, (0, 0, 0)) if hits is None else hits


def coreference_table(scan: HeadScan, *, seed: int = 0) -> pd.DataFrame:
    """Antecedent accuracy of every head in both directions, by the type of the anaphor.

    Columns: `direction, layer, head, mention_type, accuracy, ci_low, ci_high, n, descriptive`.

    Raises:
        CaptureError: the pass did not keep antecedents.
        CorpusError: the corpus has no anaphor.
    """
    scored = score_anaphors(scan)
    parts = []
    for name, rows in scored.groups():
        part = head_accuracies(scored.correct, rows, scored.unit, DIRECTIONS, seed=seed)
        part.insert(3, "mention_type", name)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def coreference_baselines(scan: HeadScan, *, seed: int = 0) -> pd.DataFrame:
    """Antecedent accuracy of what needs no model: see `coreference_baselines.py`.

    Columns: `baseline, mention_type, accuracy, ci_low, ci_high, n, descriptive`.

    Raises:
        CaptureError: the pass did not keep antecedents.
        CorpusError: the corpus has no anaphor.
    """
    scored = score_anaphors(scan)
    parts = []
    for name, rows in scored.groups():
        units, count = scored.unit[rows], int(scored.unit.max()) + 1
        accuracy, low, high, descriptive = accuracy_interval(
            sums_by_unit(scored.baselines[rows], units, count),
            np.bincount(units, minlength=count),
            seed=seed,
        )
        columns = {
            "baseline": BASELINES,
            "mention_type": name,
            "accuracy": accuracy,
            "ci_low": low,
            "ci_high": high,
            "n": len(rows),
            "descriptive": descriptive,
        }
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def best_coreference_heads(scan: HeadScan, *, seed: int = 0) -> pd.DataFrame:
    """The best head of each mention type with at least 30 anaphors, against the best baseline.

    Head, direction and baseline are chosen on one half of the units and scored on the other, then
    the halves swap; accuracies pool the two scored halves, and the columns that name a head or a
    baseline are the even half's choice. p is one-sided, from sign-flips over units of correct
    minus baseline-correct, adjusted by Holm over the rows.

    Raises:
        CaptureError: the pass did not keep antecedents.
        CorpusError: the corpus has no anaphor.
    """
    scored = score_anaphors(scan)
    found = []
    for name, rows in scored.groups():
        best = best_on_halves(scored.correct, rows, scored.unit, scored.baselines, seed=seed)
        if best is not None:
            row = {
                "mention_type": name,
                "direction": DIRECTIONS[best.by_even.direction],
                "baseline": BASELINES[best.by_even.baseline],
            }
            found.append({**row, **best.columns})
    return tested(found, BEST_COLUMNS)
