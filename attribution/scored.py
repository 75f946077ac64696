"""The scores of every example as a result that can be kept."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ..corpora import Example, Examples
from ..errors import AttributionError
from ..models import LoadedModel, provenance
from ..results import Result
from .naming import function_name
from .scores import IMPORTANCE, SCORES, Scores, score_all
from .targets import Prepared, prepare
from .words import items_of

CONSTANT = "its target is constant: every importance measure is zero on every word"


@dataclass(frozen=True, repr=False)
class Scored(Result):
    """`table` is `example,index,word,score,value`: signed scores of every scored word, the heads'
    apart. `example` counts the examples given from 0, `index` the words of the text from 0."""

    goals: pd.DataFrame
    """`example,id,text,kind,name,value`: what was explained on each example."""
    attention: np.ndarray
    """(head, item), the items of all texts one after the other."""
    layers: np.ndarray
    """(head,)"""
    heads: np.ndarray
    """(head,) number within the layer."""
    completeness: pd.DataFrame
    """`error,relative_error,holds` of the integrated gradients of each example."""

    def prepared(self, model: LoadedModel, examples: Examples, target: Any = None) -> Prepared:
        """The examples that have scores, with what is measured on each, in the same order.

        Args:
            target: what was given to `score_examples`.
        """
        foil, seed = self.provenance.options["foil"], self.provenance.seed
        every = _prepare(model, examples, target, foil, seed)
        return _only(every, self.goals["example"].tolist(), self.provenance.skipped)

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
    target: Any = None,
    foil: str | None = None,
    unit: str = "word",
    names: Sequence[str] = SCORES,
    seed: int = 0,
) -> Scored:
    """Score every word of every example.

    Left out, with the reason, are examples that the model cannot read, whose rationale does not
    align, or whose target no word changes.

    Raises:
        AttributionError: see `prepare` and `score_all`; or no example is left.
        CaptureError: the model's attention cannot be captured.
    """
    prepared = _prepare(model, examples, target, foil, seed)
    scores, checks = score_all(model, prepared, unit=unit, names=names, seed=seed)
    constant = [_is_constant(own) for own in scores]
    if all(constant):
        raise AttributionError(
            f"On every one of the {len(scores)} examples the target is constant: its gradient and "
            "every change without a word are zero, so that there is nothing to explain. Give "
            "another target."
        )
    kept = [number for number, is_constant in enumerate(constant) if not is_constant]
    skipped = prepared.skipped + [
        [prepared.encodings[number].sentence.id, CONSTANT]
        for number, is_constant in enumerate(constant)
        if is_constant
    ]
    prepared = _only(prepared, [prepared.kept[number] for number in kept], skipped)
    scores = [scores[number] for number in kept]
    checks = [checks[number] for number in kept] if checks else []
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
            model, examples, seed=seed, skipped=skipped, target=function_name(target), foil=foil,
            scored=unit, scores=list(names),
        ),
    )  # fmt: skip


def _prepare(
    model: LoadedModel, examples: Examples, target: Any, foil: str | None, seed: int
) -> Prepared:
    reasons = [_misaligned(example) for example in examples.examples]
    aligned = [number for number, reason in enumerate(reasons) if not reason]
    own = [examples.examples[number] for number in aligned]
    if not own and len(examples):
        raise AttributionError(
            f"None of the {len(examples)} examples can be explained: {reasons[0]}."
        )
    prepared = prepare(model, own, target=target, foil=foil, seed=seed)
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


def _only(prepared: Prepared, examples: Sequence[int], skipped: list[list[str]]) -> Prepared:
    """The part whose numbers in the examples given are these."""
    wanted = set(examples)
    kept = [place for place, number in enumerate(prepared.kept) if number in wanted]
    return Prepared(
        encodings=[prepared.encodings[place] for place in kept],
        goals=[prepared.goals[place] for place in kept],
        kept=[prepared.kept[place] for place in kept],
        skipped=skipped,
    )


def _is_constant(scores: Scores) -> bool:
    known = [scores.named[name] for name in IMPORTANCE if name in scores.named]
    return bool(known) and all(not own.any() for own in known)


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
