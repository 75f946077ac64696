"""The `heads` analysis: one pass over a corpus, and everything that it says of every head."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...corpora import Corpus
from ...errors import BertologyError, CaptureError
from ...models import LoadedModel, provenance
from ...results import Result
from .analyses import ANALYSES, AnalysisOptions, not_fed
from .best import COLUMNS
from .features import left_out_features
from .options import DEFAULT, ScanOptions
from .relations import gold_dependents
from .roles import head_roles
from .rows import OTHER
from .scan import HeadScan, scan_heads
from .statistics import statistics_table

#: What is analysed if nothing is said: what costs the pass next to nothing.
USUAL = ("queries", "patterns", "relations")


@dataclass(frozen=True, repr=False)
class HeadAnalysis(Result):
    """`table` is `heads.csv`; a table is empty where its analysis was not asked for or not fed.

    docs/tables.md says what every column means.
    """

    roles: pd.DataFrame
    by_query: pd.DataFrame = field(default_factory=pd.DataFrame)
    patterns: pd.DataFrame = field(default_factory=pd.DataFrame)
    head_patterns: pd.DataFrame = field(default_factory=pd.DataFrame)
    relations: pd.DataFrame = field(default_factory=pd.DataFrame)
    best: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(COLUMNS)))
    examples: pd.DataFrame = field(default_factory=pd.DataFrame)
    features: pd.DataFrame = field(default_factory=pd.DataFrame)
    coreference: pd.DataFrame = field(default_factory=pd.DataFrame)
    coreference_baselines: pd.DataFrame = field(default_factory=pd.DataFrame)
    best_coreference: pd.DataFrame = field(default_factory=pd.DataFrame)
    semantic: pd.DataFrame = field(default_factory=pd.DataFrame)
    clusters: pd.DataFrame = field(default_factory=pd.DataFrame)
    cluster_test: pd.DataFrame = field(default_factory=pd.DataFrame)
    cluster_stress: pd.DataFrame = field(default_factory=pd.DataFrame)
    silhouettes: pd.DataFrame = field(default_factory=pd.DataFrame)
    gradients: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def has_relations(self) -> bool:
        """Whether the corpus had trees and they were asked for."""
        return not self.relations.empty

    @property
    def not_fed(self) -> dict[str, str]:
        """The analyses that were asked for and could not be fed, with what the corpus lacks."""
        return dict(self.provenance.options.get("not_fed", {}))


def analyse_heads(
    model: LoadedModel,
    corpus: Corpus,
    analyses: Sequence[str] = USUAL,
    *,
    scan_options: ScanOptions = DEFAULT,
    options: AnalysisOptions | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    workers: int | None = None,
) -> HeadAnalysis:
    """What every head looks at, from one pass over the corpus.

    An analysis that the corpus or the model cannot feed (relations without trees) is left out and
    named in `not_fed`; the others run.

    Args:
        analyses: names of `ANALYSES`, or `("all",)`; the statistics of `heads.csv` always come.
        scan_options: how the pass is made; the parts it keeps follow from the analyses.
        options: named variants of the analyses.
        folder: where the shards of the pass are kept, for an interrupted pass to go on; by
            default a temporary folder.
        workers: processes to share the pass out to (default: this process alone).

    Raises:
        CorpusError: no sentence fits the model.
        CaptureError: an unknown analysis, the model's attention cannot be captured, or a worker
            died.
        OutputError: the folder holds another pass, or cannot be written.
    """
    names = _names(analyses)
    asked = replace(scan_options, seed=seed)
    lacking = not_fed(model, corpus, names, asked)
    fed = [name for name in names if name not in lacking]
    parts = tuple(part for name in fed if (part := ANALYSES[name].part) is not None)
    scan = scan_heads(model, corpus, folder, options=replace(asked, parts=parts), workers=workers)
    chosen = options or AnalysisOptions()
    tables: dict[str, pd.DataFrame] = {}
    for name in fed:
        try:
            tables |= ANALYSES[name].tables(scan, chosen, seed)
        except BertologyError as error:
            # Too few units, say: the pass and the other analyses are not lost with it.
            lacking[name] = str(error)
    fed = [name for name in fed if name not in lacking]
    means = statistics_table(
        scan.unit_sums(), np.bincount(scan.units), (*scan.present, OTHER), seed=seed
    )
    return HeadAnalysis(
        table=means[means["statistic"] != OTHER].reset_index(drop=True),
        roles=head_roles(means),
        provenance=provenance(
            model, corpus, seed=seed, skipped=scan.skipped, not_fed=lacking,
            analyses=list(fed), **_counted(scan, chosen, fed),
            **{
                key: value
                for key, value in (asdict(chosen) | scan.options.as_dict()).items()
                if key != "seed"
            },
        ),
        **tables,
    )  # fmt: skip


def _names(analyses: Sequence[str]) -> tuple[str, ...]:
    if isinstance(analyses, str):
        analyses = (analyses,)
    if unknown := [name for name in analyses if name not in (*ANALYSES, "all")]:
        raise CaptureError(
            f"The analyses {unknown} do not exist; there are {', '.join(ANALYSES)}, and all."
        )
    return tuple(name for name in ANALYSES if name in analyses or "all" in analyses)


def _counted(scan: HeadScan, options: AnalysisOptions, fed: Sequence[str]) -> dict[str, Any]:
    """What an analysis was over, and what it left out."""
    found: dict[str, Any] = {}
    if "relations" in fed:
        dependents = gold_dependents(
            scan.sentences, scan.word_tokens, scan.units.tolist(), labels=options.labels,
            all_words=options.all_words,
        )  # fmt: skip
        found |= {"dependents": len(dependents), "pairs_without_tokens": dependents.left_out}
    if "features" in fed:
        found["features_left_out"] = left_out_features(scan)
    return found
