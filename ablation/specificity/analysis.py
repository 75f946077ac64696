"""Parts of a model by behaviours, and whether groups and behaviours dissociate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ...corpora import Examples, MinimalPairs
from ...corpora.text import sha256_of
from ...models import LoadedModel
from ...results import Provenance, Result
from ..effects import differences
from ..null_sets import random_sets
from ..parts import Head, Part, check_parts, every_head, head_set, heads_of
from ..scoring import Scores, score
from ..setting import Setting, sums_of_units
from .behaviours import Behaviour, Hurt, settled
from .dissociations import Dissociation, Measured, check_tests, contrast_table, dissociation_table

COLUMNS = (
    "part", "behaviour", "metric", "base", "ablated", "delta", "ci_low", "ci_high", "p_adjusted",
    "n", "descriptive",
)  # fmt: skip
#: Differences this small, relative to the score, are rounding.
_ROUNDING = 1e-6


@dataclass(frozen=True, repr=False)
class Specificity(Result):
    """What each part does to each behaviour, and the dissociations that were declared.

    `table`: one row for each part and behaviour (`COLUMNS`); `p_adjusted` is two-sided, max-T over
    the parts of a behaviour. `dissociations`: one row a test (`DISSOCIATION_COLUMNS`);
    `a_without_a` is how much worse behaviour a is without group A, and so on; `sets_a`, how many
    layer-matched sets group A was set against; `p`, the largest of `p_contrasts` and of both
    `p_matched`, `p_adjusted` by Holm over the tests, `supported` where that is below .05.
    `contrasts`: the parts of each test, with intervals (`crossed`).
    """

    contrasts: pd.DataFrame
    dissociations: pd.DataFrame


def specificity(
    model: LoadedModel,
    behaviours: Mapping[str, Behaviour | Examples | MinimalPairs],
    *,
    parts: Mapping[str, Sequence[Head]] | Sequence[Part] | None = None,
    dissociations: Sequence[Dissociation] = (),
    mode: str = "zero",
    matched_sets: int = 99,
    seed: int = 0,
) -> Specificity:
    """Switch parts off one at a time and measure every behaviour.

    A double dissociation of the groups A and B and the behaviours a and b is supported if A hurts
    a more than b and more than B does, B hurts b more than a and more than A does, and each hurts
    its behaviour more than sets of other heads with the same number in each layer: all of it, so
    that the largest p counts. A set of one head in a layer of 12 has 11 others to be set against,
    and so a p of 1/12 at best.

    Args:
        behaviours: data, or a `Behaviour`, by name.
        parts: heads of each group by name, such as those that a relation analysis found, or parts
            (default: every head).
        dissociations: tests, declared before the results are seen:
            `(("determiner heads", "determiners"), ("subject heads", "agreement"))`.
        mode: what takes the place of a part, see `bertology.ablation.ablate`.
        matched_sets: how many layer-matched sets each group is set against, if there are as many.

    Raises:
        CaptureError: parts or a mode that do not exist, or attention that cannot be reached.
        CorpusError: a behaviour that does not suit the model, or a test of what is not there.
        AttributionError: a target that does not suit the model.
    """
    chosen = _parts(model, parts)
    check_parts(model.module, chosen)
    settings = settled(model, behaviours, seed)
    named = {part.name: part for part in chosen}
    metrics = {name: setting.metrics[0].name for name, setting in settings.items()}
    check_tests(dissociations, named, metrics)
    pairs = dict.fromkeys(pair for test in dissociations for pair in test)
    heads = heads_of(model.module)
    measured = Measured([*named], metrics)
    tables = []
    for name, setting in settings.items():
        matched = {
            group: random_sets(named[group], heads, matched_sets, seed)
            for group, behaviour in pairs
            if behaviour == name
        }
        every = [*chosen, *(one for sets in matched.values() for one in sets)]
        scores = score(model, setting, every, modes=(mode,), seed=seed)
        tables.append(_rows(name, chosen, setting, scores, mode, seed))
        sizes = {group: len(sets) for group, sets in matched.items()}
        measured.add(name, _hurt(setting, scores, mode), sizes)
    return Specificity(
        table=pd.concat(tables, ignore_index=True)[list(COLUMNS)],
        contrasts=contrast_table(dissociations, measured, seed),
        dissociations=dissociation_table(dissociations, measured, seed),
        provenance=_provenance(settings, mode=mode, matched_sets=matched_sets),
    )


def _parts(
    model: LoadedModel, parts: Mapping[str, Sequence[Head]] | Sequence[Part] | None
) -> list[Part]:
    if parts is None:
        return every_head(model.module)
    if isinstance(parts, Mapping):
        return [head_set(name, heads) for name, heads in parts.items()]
    return list(parts)


def _rows(
    name: str, parts: Sequence[Part], setting: Setting, scores: Scores, mode: str, seed: int
) -> pd.DataFrame:
    (metric,) = setting.metrics
    ablated = scores.ablated[mode, metric.name][: len(parts)]
    found = differences(metric, scores.base[metric.name], ablated, setting.units, seed)
    return found.assign(part=[part.name for part in parts], behaviour=name, metric=metric.name)


def _hurt(setting: Setting, scores: Scores, mode: str) -> Hurt:
    (metric,) = setting.metrics
    base, ablated = scores.base[metric.name], scores.ablated[mode, metric.name].mean(1)
    known = ~np.isnan(base).any(1)
    sign = -1 if metric.higher_is_better is False else 1
    loss = sign * (base[None, known, 0] - ablated[:, known, 0])
    units = setting.units[known]
    sums, _ = sums_of_units(loss.T.astype(float), units)
    counts, _ = sums_of_units(base[known, 1].astype(float), units)
    ids = tuple(str(one) for one in setting.ids[known])
    mean = abs(base[known, 0].sum() / base[known, 1].sum())
    return Hurt(sums, counts, ids, _ROUNDING * max(1.0, float(mean)))


def _provenance(settings: Mapping[str, Setting], **options: Any) -> Provenance:
    sources = [setting.provenance for setting in settings.values()]
    data = {
        name: {"data": s.data, "sha256": s.data_sha256, "unit": s.unit, "sentences": s.sentences,
               "options": s.options}
        for name, s in zip(settings, sources, strict=True)
    }  # fmt: skip
    return replace(
        sources[0],
        data="; ".join(dict.fromkeys(s.data for s in sources)),
        data_sha256=sha256_of("".join(s.data_sha256 for s in sources).encode()),
        unit=" or ".join(dict.fromkeys(s.unit for s in sources)),
        sentences=sum(s.sentences for s in sources),
        documents=sum(s.documents for s in sources),
        skipped=[entry for s in sources for entry in s.skipped],
        options={**options, "behaviours": data},
    )
