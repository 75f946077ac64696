"""What `bertology explain` does."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from ..ablation import Ablation, Importance, ablate, importance
from ..attribution import (
    Declaration,
    Explanation,
    HeadMaps,
    Scored,
    Scrambled,
    Searched,
    Verdict,
    explain,
    head_maps,
    score_examples,
    scrambled,
    searched,
)
from ..attribution.explain import check
from ..attribution.scores import SCORES
from ..attribution.verdict import drawn
from ..corpora import Examples, corpus_of, read_examples
from ..errors import BertologyError
from ..models import LoadedModel
from ..probing.heads import HeadAnalysis, analyse_heads
from .commands import Common, finish, limited, parse_columns
from .head_table import explained_heads
from .options import listed
from .run import Run, skipped_texts
from .verdict_page import verdict_page


@dataclass(frozen=True)
class ExplainChoices:
    """The options of `bertology explain` alone."""

    data: Path
    columns: str | None
    target: str | None
    foil: str | None
    quantity: str
    unit: str
    declare: str | None
    other_seeds: str | None
    heads: bool

    def declared(self) -> Declaration:
        """What the verdict is to test.

        Raises:
            BertologyError: an entry that is not NAME=VALUE, or what `Declaration` does not have.
        """
        defaults = {field.name: field.default for field in fields(Declaration)}
        given: dict[str, Any] = {}
        for entry in (self.declare or "").split(",") if self.declare else ():
            name, _, value = (part.strip() for part in entry.partition("="))
            if name not in defaults or not value:
                raise BertologyError(
                    f"--declare has {entry!r}; write it like score=rollout,agreement_margin=0.05, "
                    f"with any of {', '.join(defaults)}."
                )
            given[name] = _read(name, value, defaults[name])
        return Declaration(**given)

    def names(self) -> tuple[str, ...]:
        """The usual scores, and those that are declared."""
        declared = self.declared()
        names = (*SCORES, declared.score, declared.reference, *declared.importance)
        return tuple(dict.fromkeys(names))

    def seeds(self) -> list[str]:
        """The models of other seeds."""
        return list(listed(self.other_seeds or ""))


def _read(name: str, value: str, default: Any) -> Any:
    if isinstance(default, tuple):
        return tuple(value.split("+"))
    try:
        return type(default)(value)
    except ValueError:
        kind = "whole number" if isinstance(default, int) else "number"
        raise BertologyError(f"--declare has {name}={value}; give a {kind}.") from None


def explain_command(common: Common, choices: ExplainChoices) -> None:
    """`bertology explain`: each part is kept as soon as it is there."""
    declared, names = choices.declared(), choices.names()
    check(choices.unit, names, declared)
    examples = limited(read_examples(choices.data, parse_columns(choices.columns)), common.limit)
    model = common.load()
    others = [common.loading.load_one_of_several(name) for name in choices.seeds()]
    _check_seeds(model, others)
    settings = {name: value for name, value in asdict(choices).items() if name != "heads"}
    run = common.open(model, **settings | {"data": str(choices.data)},
                      data_sha256=examples.sha256)  # fmt: skip
    target: dict[str, Any] = {
        "target": choices.target, "foil": choices.foil, "quantity": choices.quantity,
        "seed": common.seed,
    }  # fmt: skip
    scored = run.result("scores", Scored, partial(
        score_examples, model, examples, unit=choices.unit, names=names, **target
    ))  # fmt: skip
    explanation = run.result("explanation", Explanation, partial(
        explain, model, examples, unit=choices.unit, names=names, declared=declared,
        scored=scored, **target,
    ))  # fmt: skip
    written = _write_explanation(run, explanation)
    needed = run.result("scrambled", Scrambled, partial(
        scrambled, model, examples, declared=declared, **target
    ))  # fmt: skip
    found = run.result("alternatives", Searched, partial(
        searched, model, examples, declared=declared, seeds=others, **target
    ))  # fmt: skip
    verdict = explanation.verdict(needed, found)
    written += _write_verdict(run, needed, found, verdict)
    if choices.heads:
        part = examples.part(drawn(model, examples, declared.texts, **target).kept)
        written.append(_write_heads(run, model, part, explanation, choices, target))
    finish(run, written, _notes(explanation, needed))
    for claim in verdict.claims:
        print(f"{claim.claim}: {claim.outcome}. {claim.sentence}")


def _check_seeds(model: LoadedModel, others: Sequence[LoadedModel]) -> None:
    """Refuse, before any work, what are no classifiers with the same classes."""
    for other in others:
        if model.task != "classification" or other.labels != model.labels:
            raise BertologyError(
                f"--other-seeds names {other.name} ({other.task}, classes {list(other.labels)}), "
                f"which does not compare with {model.name} ({model.task}, classes "
                f"{list(model.labels)}); give classifiers fine-tuned as MODEL was."
            )


def _write_explanation(run: Run, explanation: Explanation) -> list[Path]:
    lines = [json.dumps(line, ensure_ascii=False) for line in explanation.score_lines()]
    written = [
        run.text("scores.jsonl", "\n".join(lines) + "\n"),
        run.table("agreement.csv", explanation.table),
        run.table("faithfulness.csv", explanation.faithfulness),
    ]
    if not explanation.plausibility.empty:
        written.append(run.table("plausibility.csv", explanation.plausibility))
    return written


def _write_verdict(run: Run, needed: Scrambled, found: Searched, verdict: Verdict) -> list[Path]:
    record = json.dumps(verdict.as_dict(), indent=1, ensure_ascii=False)
    return [
        run.table("counterfactual.csv", needed.table),
        run.table("alternatives.csv", found.table),
        run.text("verdict.json", record + "\n"),
        run.text("verdict.html", verdict_page(verdict)),
    ]


def _write_heads(
    run: Run,
    model: LoadedModel,
    part: Examples,
    explanation: Explanation,
    choices: ExplainChoices,
    target: dict[str, Any],
) -> Path:
    """The table of heads, on the texts that other attention is tried on.

    Importance and ablation are of the logit whatever the quantity.
    """
    declared, seed = choices.declared(), target["seed"]
    logit = {name: value for name, value in target.items() if name != "quantity"}
    compute: dict[str, tuple[Any, Callable[[], Any]]] = {
        "heads": (HeadAnalysis, partial(analyse_heads, model, corpus_of(part), (), seed=seed)),
        "importance": (Importance, partial(importance, model, part, **logit)),
        "ablation": (Ablation, partial(ablate, model, part, modes=("zero",), **logit)),
        "head_maps": (HeadMaps, partial(
            head_maps, model, part, declared=declared, unit=choices.unit, **target
        )),
        "scrambled_heads": (Scrambled, partial(
            scrambled, model, part, declared=declared, scopes=("head",), **target
        )),
    }  # fmt: skip
    found = {name: run.result(name, kind, own) for name, (kind, own) in compute.items()}
    table = explained_heads(
        found["heads"], found["importance"], found["ablation"], explanation.table,
        found["head_maps"], found["scrambled_heads"], reference=declared.reference,
        statistic=declared.statistic,
    )  # fmt: skip
    return run.table("explanation_heads.csv", table)


def _notes(explanation: Explanation, needed: Scrambled) -> str:
    own, part = explanation.provenance, needed.provenance
    notes = [skipped_texts(own)]
    if part.options["drawn_from"] > part.options["most_texts"]:
        notes.append(
            f"Other attention was tried on {part.sentences} texts, drawn from "
            f"{part.options['drawn_from']} with seed {part.seed}; --declare texts=N takes more."
        )
    return "\n".join(filter(None, notes))
