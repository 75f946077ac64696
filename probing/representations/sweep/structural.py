"""Structural probes in a sweep: how much of the dependency tree lies in each hidden state."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from ....corpora import Sentence
from ....errors import CorpusError
from ....stats import wilson
from ..estimators.structural import DepthProbe, DistanceProbe
from ..estimators.trees import (
    LENGTHS,
    ROOT,
    DepthScores,
    DistanceScores,
    chain_distances,
    depth_scores,
    distance_scores,
    random_distances,
)
from ..states import States
from . import comparisons
from .jobs import Job
from .options import ProbeOptions
from .outcomes import NOTHING, Outcome
from .pieces import Arrays
from .plan import start_seeds
from .sources import Source
from .sums import Units
from .table import COLUMNS

TASK = "tree"
#: Metrics, with the probe that each is of.
METRICS = {"uuas": "distance", "dspr": "distance", "root": "depth", "nspr": "depth"}


@dataclass(frozen=True)
class Trees:
    """The sentences of a part that are trees and whose words all have tokens."""

    rows: np.ndarray
    """(word,), rows of the states."""
    heads: np.ndarray
    """(word,), indices in the sentence, -1 for the root."""
    sentences: np.ndarray
    """(word,), the sentence of each word."""
    scored: np.ndarray
    """(word,) bool, False for punctuation."""
    units: np.ndarray
    """(sentence,)."""
    no_tree: int
    """Sentences that were left out because they have not one root and at least two words."""
    without_tokens: int
    """Trees that were left out because a word has no token."""

    def split(self, values: np.ndarray) -> list[np.ndarray]:
        """What is known of each word, by sentence."""
        return np.split(values, np.flatnonzero(np.diff(self.sentences)) + 1)


def trees_of(states: States) -> Trees:
    """The trees of a part.

    Raises:
        CorpusError: there are fewer than two.
    """
    covered = np.add.reduceat(states.word_tokens == 0, states.offsets[:-1]) == 0
    trees = np.array([_is_tree(sentence) for sentence in states.sentences])
    kept = np.flatnonzero(trees & covered)
    if len(kept) < 2:
        raise CorpusError(
            f"Structural probes need dependency trees (HEAD, column 7); {len(kept)} of "
            f"{len(states.sentences)} sentences have one root and at least two words, all with "
            "tokens. Give a treebank."
        )
    chosen = [states.sentences[number] for number in kept]
    lengths = [len(sentence) for sentence in chosen]
    return Trees(
        rows=np.concatenate([np.arange(*states.offsets[number : number + 2]) for number in kept]),
        heads=np.concatenate([sentence.heads for sentence in chosen]),
        sentences=np.repeat(np.arange(len(kept)), lengths),
        scored=np.concatenate([_scored(sentence) for sentence in chosen]),
        units=states.units[kept],
        no_tree=int((~trees).sum()),
        without_tokens=int((trees & ~covered).sum()),
    )


def structural_jobs(
    train: Trees, evaluate: Trees, sources: Sequence[Source], layers: Sequence[int],
    options: ProbeOptions, *, device: str,
) -> list[Job]:  # fmt: skip
    """One job for each layer and source."""
    return [
        Job(_name(source, layer), source, layer,
            partial(_fit, train, evaluate, layer, start_seeds(options), device))
        for source in sources
        for layer in layers
    ]  # fmt: skip


def structural_tables(
    evaluate: Trees, sources: Sequence[Source], layers: Sequence[int], options: ProbeOptions,
    found: dict[str, Arrays],
) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """The rows of `probes.csv` and of `probe_tests.csv`, the latter not yet corrected."""
    names = dict.fromkeys(source.name for source in sources)
    arrays = {
        (name, layer): [found[_name(s, layer)] for s in sources if s.name == name]
        for name in names
        for layer in layers
    }
    baselines = _baselines(evaluate, options.seed)
    rows, tests = [], []
    for metric in METRICS:
        outcomes = [
            _outcome(metric, "structural", name, layer, parts)
            for (name, layer), parts in arrays.items()
        ]
        outcomes += [_outcome(metric, name, "", None, [part]) for name, part in baselines.items()]
        units = Units(evaluate.units, options.seed, _counts(metric, baselines["linear_chain"]))
        rows.append(_rows(metric, outcomes, units))
        tests.append(comparisons.comparison_table(outcomes, units, metric=metric))
    return pd.concat(rows, ignore_index=True), pd.concat(tests, ignore_index=True)


def _fit(
    train: Trees, evaluate: Trees, layer: int, seeds: Sequence[int], device: str,
    train_states: States, states: States,
) -> Arrays:  # fmt: skip
    """(seed, sentence) of every score."""
    X, X_eval = train_states.read(layer)[train.rows], states.read(layer)[evaluate.rows]
    scores = []
    for seed in seeds:
        distance = DistanceProbe(seed=seed, device=device).fit(X, train.heads, train.sentences)
        depth = DepthProbe(seed=seed, device=device).fit(X, train.heads, train.sentences)
        scored = evaluate.heads, evaluate.sentences, evaluate.scored
        scores.append(_arrays(distance.scores(X_eval, *scored), depth.scores(X_eval, *scored)))
    return {name: np.stack([each[name] for each in scores]) for name in scores[0]}


def _baselines(evaluate: Trees, seed: int) -> dict[str, Arrays]:
    """Words as far apart as in the text; distances and depths drawn at random."""
    heads, scored = evaluate.split(evaluate.heads), evaluate.split(evaluate.scored)
    generator = np.random.default_rng(seed)
    lengths = [len(sentence) for sentence in heads]
    chain = [chain_distances(n) for n in lengths], [np.arange(n) for n in lengths]
    drawn = (
        [random_distances(n, generator) for n in lengths],
        [generator.random(n) for n in lengths],
    )
    found = {}
    for name, (distances, depths) in (("linear_chain", chain), ("random", drawn)):
        by_distance = distance_scores(distances, heads, scored)
        arrays = _arrays(by_distance, depth_scores(depths, heads, scored))
        found[name] = {key: value[None] for key, value in arrays.items()}
    return found


def _arrays(distance: DistanceScores, depth: DepthScores) -> Arrays:
    return {
        "lengths": distance.lengths, "edges": distance.edges, "uuas": distance.correct,
        "dspr": distance.spearman, "root": depth.root, "nspr": depth.spearman,
    }  # fmt: skip


def _counts(metric: str, arrays: Arrays) -> np.ndarray:
    """What the score of each sentence is out of: its edges, itself, or its share of its length."""
    if metric == "uuas":
        return arrays["edges"][0].astype(float)
    return np.ones(arrays["lengths"].shape[1]) if metric == "root" else _by_length(arrays)


def _by_length(arrays: Arrays) -> np.ndarray:
    """(sentence,), weights that give every length from 5 to 50 the same (Hewitt & Manning)."""
    lengths = arrays["lengths"][0]
    within = (lengths >= LENGTHS[0]) & (lengths <= LENGTHS[1])
    counts = np.bincount(lengths, weights=within)[lengths]
    return np.divide(1.0, counts, out=np.zeros(len(lengths)), where=within)


def _outcome(
    metric: str, probe: str, source: str, layer: int | None, parts: Sequence[Arrays]
) -> Outcome:
    values = np.stack([part[metric] for part in parts]).astype(float)  # (model, seed, sentence)
    if metric in ("dspr", "nspr"):
        values = values * _by_length(parts[0])
    totals = values.sum(axis=2) / _counts(metric, parts[0]).sum()
    return Outcome(
        TASK, source, probe, layer, values.mean(axis=(0, 1)), np.zeros((0, values.shape[2])),
        seed_sd=_sd(totals.mean(axis=0)), random_model_sd=_sd(totals.mean(axis=1)),
    )  # fmt: skip


def _rows(metric: str, outcomes: Sequence[Outcome], units: Units) -> pd.DataFrame:
    mean, low, high = units.intervals(np.stack([outcome.own for outcome in outcomes]))
    if units.descriptive:
        is_share = metric in ("uuas", "root")
        counts = np.full(mean.shape, units.n if is_share else 0)
        low, high = wilson(mean * counts, counts)  # NaN for rank correlations, which have none.
    table = pd.DataFrame({
        "task": TASK,
        "layer": pd.array([o.layer for o in outcomes], dtype="Int64"),
        "probe": [o.probe for o in outcomes],
        "metric": metric,
        "value": mean, "ci_low": low, "ci_high": high,
        "n": units.n,
        "n_unseen_words": 0,
        "descriptive": units.descriptive,
        "source": [o.source for o in outcomes],
        "seed_sd": [o.seed_sd for o in outcomes],
        "random_model_sd": [o.random_model_sd for o in outcomes],
    })  # fmt: skip
    return table.reindex(columns=list(COLUMNS))


def _is_tree(sentence: Sentence) -> bool:
    return len(sentence) > 1 and sentence.heads.count(ROOT) == 1


def _scored(sentence: Sentence) -> list[bool]:
    if sentence.upos:
        return [tag != "PUNCT" for tag in sentence.upos]
    return [relation != "punct" for relation in sentence.deprels]


def _name(source: Source, layer: int) -> str:
    return f"{source.name}.{source.number}.structural.{layer}"


def _sd(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else NOTHING
