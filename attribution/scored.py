"""The scores of every example as a result that can be kept."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ..corpora import Example, Examples
from ..errors import AttributionError
from ..models import LoadedModel, provenance
from ..results import Result
from .goals import Function
from .naming import function_name
from .scores import SCORES, Scores, score_all
from .targets import Prepared, prepare
from .words import items_of


@dataclass(frozen=True, repr=False)
class Scored(Result):
    """`table` is `example,index,word,score,value`: signed scores of every scored word, the heads'
    apart. `example` counts the examples given from 0, `index` the words of the text from 0."""

    goals: pd.DataFrame
    """`example,id,text,kind,name,value,chosen`: what was explained on each example, and who chose
    the class or token (see `Goal`)."""
    attention: np.ndarray
    """(head, item), the items of all texts one after the other."""
    layers: np.ndarray
    """(head,)"""
    heads: np.ndarray
    """(head,) number within the layer."""
    completeness: pd.DataFrame
    """`error,relative_error,holds` of the integrated gradients of each example."""

    def of(self, prepared: Prepared) -> list[Scores]:
        """The scores of each prepared example."""
        by_example = dict(iter(self.table.groupby("example")))
        unit, start, found = self.provenance.options["scored"], 0, []
        for number, encoding, goal in zip(
            prepared.kept, prepared.encodings, prepared.goals, strict=True
        ):
            items = items_of(encoding, goal, unit)
            own = self.attention[:, start : start + len(items)]
            start += len(items)
            named = {
                str(name): part["value"].to_numpy()
                for name, part in by_example[number].groupby("score", sort=False)
            }
            found.append(Scores(items, self.layers, self.heads, own, named))
        return found


def score_examples(
    model: LoadedModel,
    examples: Examples,
    *,
    target: str | Function | None = None,
    foil: str | None = None,
    quantity: str = "logit",
    unit: str = "word",
    names: Sequence[str] = SCORES,
    seed: int = 0,
) -> Scored:
    """Score every word of every example.

    Left out, with the reason, are those that `prepare_examples` leaves out.

    Raises:
        AttributionError: see `prepare` and `score_all`; or no example is left.
        CaptureError: the model's attention cannot be captured.
    """
    prepared = prepare_examples(
        model, examples, target=target, foil=foil, quantity=quantity, seed=seed
    )
    scores, checks = score_all(model, prepared, unit=unit, names=names, seed=seed)
    return Scored(
        table=_score_table(prepared, scores),
        goals=_goal_table(prepared),
        attention=np.concatenate([own.attention for own in scores], axis=1),
        layers=scores[0].layers,
        heads=scores[0].heads,
        completeness=pd.DataFrame(
            [(check.error, check.relative_error, check.holds) for check in checks],
            columns=["error", "relative_error", "holds"],
        ),
        provenance=provenance(
            model, examples, seed=seed, skipped=prepared.skipped, target=function_name(target),
            foil=foil, quantity=quantity, scored=unit, scores=list(names),
        ),
    )  # fmt: skip


def prepare_examples(
    model: LoadedModel,
    examples: Examples,
    *,
    target: str | Function | None = None,
    foil: str | None = None,
    quantity: str = "logit",
    seed: int = 0,
) -> Prepared:
    """`prepare`, which leaves out what the model cannot read and constant targets, and examples
    whose rationale does not align.

    Raises:
        AttributionError: see `prepare`.
    """
    reasons = [_misaligned(example) for example in examples.examples]
    aligned = [number for number, reason in enumerate(reasons) if not reason]
    own = [examples.examples[number] for number in aligned]
    if not own and len(examples):
        raise AttributionError(
            f"None of the {len(examples)} examples can be explained: {reasons[0]}."
        )
    prepared = prepare(model, own, target=target, foil=foil, quantity=quantity, seed=seed)
    skipped = [
        [example.id, reason]
        for example, reason in zip(examples.examples, reasons, strict=True)
        if reason
    ]
    return replace(
        prepared,
        kept=[aligned[number] for number in prepared.kept],
        skipped=skipped + prepared.skipped,
    )


def _misaligned(example: Example) -> str:
    marks, words = len(example.rationale), len(example.sentence.words)
    if marks in (0, words):
        return ""
    return f"its rationale has {marks} marks for {words} words"


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
        (
            number,
            encoding.sentence.id,
            encoding.sentence.text,
            goal.kind,
            goal.name,
            goal.value,
            goal.chosen,
        )
        for number, encoding, goal in zip(
            prepared.kept, prepared.encodings, prepared.goals, strict=True
        )
    ]
    return pd.DataFrame(rows, columns=["example", "id", "text", "kind", "name", "value", "chosen"])
