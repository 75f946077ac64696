"""The provenance of a result: which model on which data."""

from typing import Any

from ..corpora import Corpus, Examples, MinimalPairs
from ..results import Provenance
from .loaded import LoadedModel


def provenance(
    model: LoadedModel,
    data: Corpus | Examples | MinimalPairs,
    *,
    seed: int,
    skipped: list[list[str]],
    **options: Any,
) -> Provenance:
    """Record a model, a corpus and the options of an analysis."""
    return Provenance(
        model=model.name,
        revision=model.revision,
        weights_sha256=model.weights_sha256,
        tokenizer=type(model.tokenizer).__name__,
        data=data.name,
        data_sha256=data.sha256,
        seed=seed,
        unit=data.unit,
        sentences=len(data) - len(skipped),
        documents=len(data.documents),
        skipped=skipped,
        options={**options, **model.variant},
    )
