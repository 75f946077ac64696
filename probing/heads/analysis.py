"""The `heads` analysis: statistics of every head, and the relations heads follow."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ...corpora import Corpus
from ...models import LoadedModel, provenance
from ...results import Result
from .best import COLUMNS, best_heads
from .examples import sample_predictions
from .relations import gold_dependents, relation_table, score
from .roles import head_roles
from .rows import OTHER
from .scan import scan_heads
from .statistics import statistics_table


@dataclass(frozen=True, repr=False)
class HeadAnalysis(Result):
    """`table` is `heads.csv`; the others are empty for text without trees."""

    relations: pd.DataFrame
    best: pd.DataFrame
    roles: pd.DataFrame
    examples: pd.DataFrame

    @property
    def has_relations(self) -> bool:
        return not self.relations.empty


def analyse_heads(
    model: LoadedModel,
    corpus: Corpus,
    *,
    seed: int = 0,
    folder: str | Path | None = None,
    workers: int | None = None,
) -> HeadAnalysis:
    """What every head looks at, and which relation it follows where the corpus has trees.

    Args:
        folder: where the shards of the pass are kept, for an interrupted pass to go on; by
            default a temporary folder.
        workers: processes to share the pass out to (default: this process alone).

    Raises:
        CorpusError: no sentence fits the model.
        CaptureError: the model's attention cannot be captured, or a worker died.
        OutputError: the folder holds another pass, or cannot be written.
    """
    scan = scan_heads(model, corpus, folder, workers=workers)
    means = statistics_table(
        scan.unit_sums(), np.bincount(scan.units), (*scan.present, OTHER), seed=seed
    )
    relations, best, examples = pd.DataFrame(), pd.DataFrame(columns=list(COLUMNS)), pd.DataFrame()
    dependents = gold_dependents(scan.sentences, scan.word_tokens, scan.units.tolist())
    if len(dependents):
        correct = score(dependents, scan.predicted())
        relations = relation_table(dependents, correct, seed=seed)
        best = best_heads(dependents, correct, seed=seed)
        named = list(best[["relation", "direction", "layer", "head"]].itertuples(index=False))
        examples = sample_predictions(scan, dependents, correct, named, seed=seed)
    return HeadAnalysis(
        table=means[means["statistic"] != OTHER].reset_index(drop=True),
        relations=relations,
        best=best,
        roles=head_roles(means),
        examples=examples,
        provenance=provenance(
            model, corpus, seed=seed, skipped=scan.skipped,
            dependents=len(dependents), pairs_without_tokens=dependents.left_out,
        ),
    )  # fmt: skip
