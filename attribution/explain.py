"""Explaining a model on examples: scores, agreement, faithfulness, verdict."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
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
from .goals import Function
from .methods.integrated import MOST
from .plausibility import plausibility
from .scored import Scored, prepare_examples, score_examples
from .scores import AVAILABLE, IMPORTANCE, SCORES, Scores
from .targets import Prepared
from .verdict import Declaration, Scrambled, Searched, Verdict, judge
from .verdict.evidence import text_evidence
from .words import UNITS


@dataclass(frozen=True, repr=False)
class Explanation(Result):
    """What `explain` returns; `table` is the agreement (see `agreement.agreement`)."""

    faithfulness: pd.DataFrame
    """See `faithfulness.faithfulness`."""
    plausibility: pd.DataFrame
    """See `plausibility.plausibility`; empty where no example has a rationale."""
    evidence: pd.DataFrame
    """`claim,part,example,unit,value`: what the verdict is reached from (see
    `verdict.evidence.text_evidence`)."""
    scores: pd.DataFrame
    """`example,index,word,score,value`: signed scores of every scored word, the heads' apart.
    `example` counts the examples given from 0, `index` the words of the text from 0."""
    goals: pd.DataFrame
    """`example,id,text,kind,name,value,chosen`: what was explained on each example, and who chose
    the class or token (see `Goal`)."""

    def verdict(self, *further: Scrambled | Searched) -> Verdict:
        """How the claims declared fared; the same every time.

        Args:
            further: what other attention says, of the same declaration; without it the claims
                that it bears on are not measured.
        """
        declared = Declaration(**self.provenance.options["declared"])
        results = {"explanation": self.provenance}
        results |= {type(own).__name__.lower(): own.provenance for own in further}
        return judge(
            pd.concat([self.evidence, *(own.evidence for own in further)], ignore_index=True),
            declared,
            seed=self.provenance.seed,
            between=_between(self.table, declared.statistic),
            provenance={name: asdict(own) for name, own in results.items()},
        )

    def score_lines(self) -> Iterator[dict[str, Any]]:
        """One JSON object per example: `id,text,goal,words,indices,scores`."""
        by_example = dict(iter(self.scores.groupby("example")))
        for _, row in self.goals.iterrows():
            own = by_example[row["example"]]
            words = own[own["score"] == own["score"].iloc[0]]
            yield {
                "id": str(row["id"]),
                "text": str(row["text"]),
                "goal": {part: row[part] for part in ("kind", "name", "value", "chosen")},
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
    target: str | Function | None = None,
    foil: str | None = None,
    quantity: str = "logit",
    unit: str = "word",
    names: Sequence[str] = SCORES,
    declared: Declaration | None = None,
    scored: Scored | None = None,
    seed: int = 0,
) -> Explanation:
    """Which words the model's behaviour rests on, and whether attention says the same.

    Examples that cannot be explained are left out, with the reason (see `prepare_examples`).

    Args:
        target, foil, quantity: see `prepare`.
        unit: what is scored, `word` or `token`.
        names: the scores, some of `scores.AVAILABLE`, with those that the verdict is about.
        declared: what the verdict is to test; the defaults of `Declaration` unless given.
        scored: what `score_examples` gave for the same examples and options.

    Raises:
        AttributionError: a target the model does not have, an unknown score, or no example it
            can read.
        CaptureError: the model's attention cannot be captured.
    """
    own = declared or Declaration()
    check(unit, names, own)
    asked: dict[str, Any] = {"target": target, "foil": foil, "quantity": quantity, "seed": seed}
    prepared = prepare_examples(model, examples, **asked)
    if scored is None:
        scored = score_examples(model, examples, unit=unit, names=names, **asked)
    scores = scored.of(prepared)
    units = units_of([e.sentence for e in prepared.encodings], examples.unit)
    evidence, chosen = text_evidence(model, prepared, scores, units, own, seed=seed)
    options = {
        **scored.provenance.options,
        "declared": own.as_dict(),
        "chosen_on_the_other_half": chosen,
        "min_items": MIN_ITEMS,
        "too_short_for_agreement": sum(len(own.items) < MIN_ITEMS for own in scores),
        "goals": dict(Counter(goal.kind for goal in prepared.goals)),
        "fractions": list(FRACTIONS),
        "integrated_gradients_most_steps": MOST,
        **_completeness_options(scored.completeness),
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
        plausibility=_plausibility(examples, prepared, scores, units, unit, seed),
        evidence=evidence,
        scores=scored.table,
        goals=scored.goals,
        provenance=provenance(model, examples, seed=seed, skipped=prepared.skipped, **options),
    )


def check(unit: str, names: Sequence[str], declared: Declaration) -> None:
    """Refuse, before any work, scores that are unknown or too few for the verdict.

    Raises:
        AttributionError: an unknown unit or score, or one that is declared is not computed.
    """
    if unit not in UNITS:
        raise AttributionError(f"unit is {unit!r}; give one of {', '.join(UNITS)}.")
    for name in names:
        if name not in AVAILABLE:
            raise AttributionError(f"score is {name!r}; give some of {', '.join(AVAILABLE)}.")
    for name in (declared.score, declared.reference):
        if name not in names:
            raise AttributionError(f"The verdict is about {name}; add it to names.")


def _plausibility(
    examples: Examples,
    prepared: Prepared,
    scores: Sequence[Scores],
    units: Sequence[int],
    unit: str,
    seed: int,
) -> pd.DataFrame:
    """Empty where no example has a rationale with a marked word that is scored."""
    marks = []
    for number, encoding, own in zip(prepared.kept, prepared.encodings, scores, strict=True):
        rationale = examples.examples[number].rationale or (False,) * len(encoding.sentence.words)
        words = own.items.indices if unit == "word" else encoding.words[own.items.indices]
        marks.append(np.array(rationale)[words])
    if not any(own.any() for own in marks):
        return pd.DataFrame()
    return plausibility([own.named for own in scores], marks, units, seed=seed)


def _completeness_options(checks: pd.DataFrame) -> dict[str, Any]:
    if checks.empty:
        return {}
    return {
        "integrated_gradients_incomplete": int((~checks["holds"].astype(bool)).sum()),
        "completeness_error_median": float(np.median(checks["error"])),
        "completeness_error_max": float(np.max(checks["error"])),
        "completeness_relative_error_median": float(np.median(checks["relative_error"])),
        "completeness_relative_error_max": float(np.max(checks["relative_error"])),
    }


def _between(agreement: pd.DataFrame, statistic: str) -> dict[str, float | None]:
    """Mean agreement of each pair of importance measures."""
    agreement = agreement[agreement["statistic"] == statistic]
    measures = list(dict.fromkeys(agreement["against"]))
    found: dict[str, float | None] = {}
    for score, against, mean in zip(
        agreement["score"], agreement["against"], agreement["mean"], strict=True
    ):
        # Each pair is in the table twice, once either way round.
        if score in measures and measures.index(score) < measures.index(against):
            found[f"{score} / {against}"] = None if math.isnan(mean) else float(mean)
    return found
