"""What gates are learned from and scored on: two halves of labelled texts, or of plain ones."""

from dataclasses import dataclass, replace

import numpy as np

from ...corpora import Examples
from ...corpora.text import units_of
from ...errors import CorpusError, ModelError
from ...models import LoadedModel
from ...models.objectives import Objective, Texts, read_texts
from ..labels import UNLABELLED, classes_of

_TASKS = ("classification", "masked-lm", "causal-lm")


@dataclass(frozen=True)
class Material:
    """Texts in two halves that have no unit in common."""

    objective: Objective
    learning: Texts
    scoring: Texts
    units: np.ndarray
    """(text of `scoring`,)"""
    skipped: list[list[str]]


def halved(model: LoadedModel, examples: Examples, seed: int) -> Material:
    """Read the texts and split their units into two halves, at random.

    Examples without a label are left out where labels are learned.

    Raises:
        ModelError: a model without a loss.
        CorpusError: unknown labels, or too few texts.
    """
    if model.task not in _TASKS:
        raise ModelError(
            f"{model.name} was loaded as {model.task}, which has no loss that gates could keep; "
            f"load it with task={' or '.join(map(repr, _TASKS))}."
        )
    task = model.task
    unlabelled: list[list[str]] = []
    if task == "classification":
        task = "regression" if len(model.labels) == 1 else task
        examples, unlabelled = _labelled(model, examples)
    texts = read_texts(model, examples, task)
    skipped = unlabelled + texts.skipped
    units = np.array(units_of([encoding.sentence for encoding in texts.encodings], examples.unit))
    names = np.random.default_rng(seed).permutation(np.unique(units))
    if len(names) < 2:
        raise CorpusError(
            f"Gates are learned on one half of the {examples.unit}s and scored on the other, and "
            f"{examples.name} has {len(names)} that can be used; give at least two."
        )
    first = np.isin(units, names[: len(names) // 2])
    return Material(
        objective=Objective(task, model, model.labels),
        learning=_part(texts, first),
        scoring=_part(texts, ~first),
        units=units[~first],
        skipped=skipped,
    )


def _labelled(model: LoadedModel, examples: Examples) -> tuple[Examples, list[list[str]]]:
    """The examples that have a label, by the model's own names of its classes."""
    given = [example for example in examples.examples if example.label is not None]
    skipped = [[e.id, "no label to learn from"] for e in examples.examples if e.label is None]
    codes = classes_of(model, given)
    named = [
        example if code == UNLABELLED else replace(example, label=model.labels[code])
        for example, code in zip(given, codes, strict=True)
    ]
    return Examples(examples.name, tuple(named), examples.sha256), skipped


def _part(texts: Texts, chosen: np.ndarray) -> Texts:
    places = np.flatnonzero(chosen)
    return Texts(
        [texts.encodings[i] for i in places], [texts.labels[i] for i in places if texts.labels], []
    )
