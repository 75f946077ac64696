"""Explaining a model on examples: scores, agreement, faithfulness, verdict."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..corpora import Examples
from ..corpora.text import units_of
from ..errors import AttributionError
from ..models import LoadedModel, provenance
from ..results import Result
from .agreement import MIN_ITEMS, agreement
from .faithfulness import FRACTIONS, faithfulness
from .methods.integrated import MOST, Completeness
from .scores import AVAILABLE, IMPORTANCE, SCORES, Scores, score_all
from .targets import Prepared, prepare
from .verdict import Declaration, Verdict, judge
from .words import UNITS


@dataclass(frozen=True, repr=False)
class Explanation(Result):
    """What `explain` returns; `table` is the agreement (see `agreement.agreement`)."""

    faithfulness: pd.DataFrame
    """See `faithfulness.faithfulness`."""
    scores: pd.DataFrame
    """`example,index,word,score,value`: signed scores of every scored word, the heads' apart.
    `example` counts the examples given from 0, `index` the words of the text from 0."""
    goals: pd.DataFrame
    """`example,id,text,kind,name,value`: what was explained on each example."""

    def verdict(self) -> Verdict:
        """Whether attention agrees with importance and is faithful; the same every time."""
        return judge(self.table, self.faithfulness)

    def score_lines(self) -> Iterator[dict[str, Any]]:
        """One JSON object per example: `id,text,goal,words,indices,scores`."""
        by_example = dict(iter(self.scores.groupby("example")))
        for _, row in self.goals.iterrows():
            own = by_example[row["example"]]
            words = own[own["score"] == own["score"].iloc[0]]
            yield {
                "id": str(row["id"]),
                "text": str(row["text"]),
                "goal": {"kind": row["kind"], "name": row["name"], "value": row["value"]},
                "words": words["word"].tolist(),
                "indices": words["index"].tolist(),
                "scores": {
                    str(name): part["value"].tolist()
                    for name, part in own.groupby("score", sort=False)
                },
            }


def explain(
    model: LoadedModel,
    examples: Examples,
    *,
    target: str | None = None,
    foil: str | None = None,
    unit: str = "word",
    names: Sequence[str] = SCORES,
    seed: int = 0,
) -> Explanation:
    """Which words the model's behaviour rests on, and whether attention says the same.

    Args:
        target, foil: see `prepare`.
        unit: what is scored, `word` or `token`.
        names: the scores, some of `scores.AVAILABLE`, with those that the verdict is about.

    Raises:
        AttributionError: a target the model does not have, an unknown score, or no example it
            can read.
        CaptureError: the model's attention cannot be captured.
    """
    if unit not in UNITS:
        raise AttributionError(f"unit is {unit!r}; give one of {', '.join(UNITS)}.")
    _check_names(names)
    prepared = prepare(model, examples.examples, target=target, foil=foil, seed=seed)
    scores, checks = score_all(model, prepared, unit=unit, names=names, seed=seed)
    units = units_of([e.sentence for e in prepared.encodings], examples.unit)
    options = {
        "target": target,
        "foil": foil,
        "scored": unit,
        "min_items": MIN_ITEMS,
        "too_short_for_agreement": sum(len(own.items) < MIN_ITEMS for own in scores),
        "scores": list(names),
        "goals": dict(Counter(goal.kind for goal in prepared.goals)),
        "fractions": list(FRACTIONS),
        "integrated_gradients_most_steps": MOST,
        **_completeness_options(checks),
    }
    return Explanation(
        table=agreement(
            scores,
            units,
            seed=seed,
            names=names,
            against=[name for name in IMPORTANCE if name in names],
        ),
        faithfulness=faithfulness(model, prepared, scores, units, seed=seed, names=names),
        scores=_score_table(prepared, scores),
        goals=_goal_table(prepared),
        provenance=provenance(model, examples, seed=seed, skipped=prepared.skipped, **options),
    )


def _check_names(names: Sequence[str]) -> None:
    """Refuse, before any work, scores that are unknown or too few for the verdict."""
    for name in names:
        if name not in AVAILABLE:
            raise AttributionError(f"score is {name!r}; give some of {', '.join(AVAILABLE)}.")
    for name in (Declaration.score, Declaration.reference):
        if name not in names:
            raise AttributionError(f"The verdict is about {name}; add it to names.")


def _completeness_options(checks: Sequence[Completeness]) -> dict[str, Any]:
    if not checks:
        return {}
    relative = [check.relative_error for check in checks]
    return {
        "integrated_gradients_incomplete": sum(not check.holds for check in checks),
        "completeness_error_median": float(np.median([check.error for check in checks])),
        "completeness_error_max": float(np.max([check.error for check in checks])),
        "completeness_relative_error_median": float(np.median(relative)),
        "completeness_relative_error_max": float(np.max(relative)),
    }


def _score_table(prepared: Prepared, scores: Sequence[Scores]) -> pd.DataFrame:
    parts = [
        pd.DataFrame({
            "example": number,
            "index": own.items.indices,
            "word": own.items.names,
            "score": name,
            "value": value,
        })
        for number, own in zip(prepared.kept, scores, strict=True)
        for name, value in own.named.items()
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def _goal_table(prepared: Prepared) -> pd.DataFrame:
    rows = [
        (number, encoding.sentence.id, encoding.sentence.text, goal.kind, goal.name, goal.value)
        for number, encoding, goal in zip(
            prepared.kept, prepared.encodings, prepared.goals, strict=True
        )
    ]
    return pd.DataFrame(rows, columns=["example", "id", "text", "kind", "name", "value"])
