"""The analyses of heads that one pass feeds: what each needs, and the tables it gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import pandas as pd

from ...corpora import Corpus, Sentence
from ...errors import CaptureError, CorpusError
from ...models import LoadedModel
from .best import best_heads
from .by_query import by_query_table
from .clusters import cluster_heads
from .coreference import best_coreference_heads, coreference_baselines, coreference_table
from .examples import sample_predictions
from .features import ABSENT, feature_table
from .gradients import loss_of
from .importance import gradient_table
from .options import ScanOptions
from .patterns import head_patterns, pattern_table
from .relations import ALL_WORDS, LABELS, gold_dependents, relation_table, score
from .scan import HeadScan
from .semantic import semantic_table
from .spans import anaphors, links

Tables = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Analysis:
    """One analysis of a pass."""

    tables: Callable[[HeadScan, "AnalysisOptions", int], Tables]
    """From a scan, the options and the seed."""
    part: str | None = None
    """What the pass has to keep for it, besides the statistics."""
    annotated: Callable[[Sentence, ScanOptions], bool] = field(default=lambda *_: True)
    """Whether a sentence has what the analysis reads."""
    lacking: str = ""
    """What a corpus lacks in which no sentence has it."""


@dataclass(frozen=True)
class AnalysisOptions:
    """Named variants of the analyses; the defaults are the better ones.

    Raises:
        CorpusError: a value that does not exist.
    """

    labels: str = "subtypes"
    """Of relations: as they are, or `universal`, without subtypes."""
    all_words: str = "scored"
    """Which words the relation `all` is over: see `relations.Dependents`."""
    absent: str = "skip"
    """Sentences without a feature: see `features.ABSENT`."""

    def __post_init__(self) -> None:
        legal = {"labels": LABELS, "all_words": ALL_WORDS, "absent": ABSENT}
        for name, values in legal.items():
            if getattr(self, name) not in values:
                raise CorpusError(
                    f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(values)}."
                )


def _relations(scan: HeadScan, options: AnalysisOptions, seed: int) -> Tables:
    dependents = gold_dependents(
        scan.sentences, scan.word_tokens, scan.units.tolist(), labels=options.labels,
        all_words=options.all_words,
    )  # fmt: skip
    correct = score(dependents, scan.predicted())
    best = best_heads(dependents, correct, seed=seed)
    named = list(best[["relation", "direction", "layer", "head"]].itertuples(index=False))
    return {
        "relations": relation_table(dependents, correct, seed=seed),
        "best": best,
        "examples": sample_predictions(scan, dependents, correct, named, seed=seed),
    }


def _patterns(scan: HeadScan, options: AnalysisOptions, seed: int) -> Tables:
    return {
        "patterns": pattern_table(scan, seed=seed),
        "head_patterns": head_patterns(scan, seed=seed),
    }


def _coreference(scan: HeadScan, options: AnalysisOptions, seed: int) -> Tables:
    return {
        "coreference": coreference_table(scan, seed=seed),
        "coreference_baselines": coreference_baselines(scan, seed=seed),
        "best_coreference": best_coreference_heads(scan, seed=seed),
    }


def _clusters(scan: HeadScan, options: AnalysisOptions, seed: int) -> Tables:
    found = cluster_heads(scan, seed=seed)
    return {
        "clusters": found.heads,
        "cluster_test": found.test,
        "cluster_stress": found.stress,
        "silhouettes": found.silhouettes,
    }


def _one(name: str, table: Callable[..., pd.DataFrame]) -> Callable[..., Tables]:
    return partial(_only, name, table)


def _only(
    name: str,
    table: Callable[..., pd.DataFrame],
    scan: HeadScan,
    options: AnalysisOptions,
    seed: int,
) -> Tables:
    return {name: table(scan, seed=seed)}


def _features(scan: HeadScan, options: AnalysisOptions, seed: int) -> Tables:
    return {"features": feature_table(scan, seed=seed, absent=options.absent)}


ANALYSES: dict[str, Analysis] = {
    "queries": Analysis(_one("by_query", by_query_table)),
    "patterns": Analysis(_patterns),
    "relations": Analysis(
        _relations, "predictions", lambda sentence, _: bool(sentence.heads), "dependency trees"
    ),
    "features": Analysis(
        _features,
        "received",
        lambda sentence, _: bool(sentence.upos or sentence.deprels),
        "part-of-speech tags and dependency relations",
    ),
    "coreference": Analysis(
        _coreference,
        "antecedents",
        lambda sentence, options: bool(anaphors(sentence, options.candidates)),
        "mentions that refer to another mention of the same text",
    ),
    "semantic": Analysis(
        _one("semantic", semantic_table),
        "links",
        lambda sentence, _: bool(links(sentence)),
        "predicates with arguments",
    ),
    "clusters": Analysis(_clusters, "divergence"),
    "gradients": Analysis(_one("gradients", gradient_table), "gradients"),
}


def not_fed(
    model: LoadedModel, corpus: Corpus, names: tuple[str, ...], options: ScanOptions
) -> dict[str, str]:
    """The analyses that a corpus or a model cannot feed, and why."""
    lacking = {
        name: f"the corpus has no {_lacking(name, options)}"
        for name in names
        if not any(ANALYSES[name].annotated(sentence, options) for sentence in corpus.sentences)
    }
    if "gradients" in names:
        try:
            loss_of(model)
        except CaptureError as error:
            lacking["gradients"] = str(error)
    return lacking


def _lacking(name: str, options: ScanOptions) -> str:
    if name == "coreference" and options.candidates == "all":
        return "mention of the kind pronoun with an antecedent, which candidates='all' is about"
    return ANALYSES[name].lacking
