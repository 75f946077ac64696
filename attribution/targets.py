"""Targets: the checkpoint's task decides which number is explained on each example."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ..corpora import Encoding, Example
from ..errors import AttributionError
from ..models import LoadedModel
from .drafts import LABEL, draft_of, with_label
from .goals import QUANTITIES, Function, Goal, is_multi_label, measure, probability
from .intact import finish
from .naming import class_index, token_index

__all__ = ["Goal", "Prepared", "measure", "prepare", "probability"]


@dataclass(frozen=True)
class Prepared:
    """Examples the model can read, each with what is measured on it; lists of equal length."""

    encodings: list[Encoding]
    goals: list[Goal]
    kept: list[int]
    """Index of each in the examples given."""
    skipped: list[list[str]]
    """[example id, reason] of every other example."""


def prepare(
    model: LoadedModel,
    examples: Sequence[Example],
    *,
    target: str | Function | None = None,
    foil: str | None = None,
    quantity: str = "logit",
    seed: int = 0,
) -> Prepared:
    """Decide, by a forward pass of the intact texts, what is measured on each.

    - classification: the logit of the predicted class;
    - masked-lm: the logit of the predicted token at the first mask in the text, or, in a text
      without one, of the original token of a word that is masked at random (a single token and
      not punctuation);
    - causal-lm: the logit of the most probable next token after the text;
    - encoder: ⟨e(x), e₀⟩/‖e₀‖ with e the mean-pooled last hidden state and e₀ that of the
      intact text, held constant (the cosine to e₀ has gradient zero there); with `text_pair`
      the cosine to the pair's embedding, held constant.

    Args:
        target: a class (or `label`: each example's own), or a token, instead of the predicted;
            or a function of the outputs of the module and the batch they are for, which returns
            one number a text, (batch,), in a differentiable way, and pays no heed to padding.
        foil: a class or token whose logit is subtracted.
        quantity: what is measured of the class or token: its `logit`, its `probability` (with a
            foil: among the two), or its `margin`, the logit minus the best other one.
        seed: chooses the masked words; the choice depends on seed and text alone.

    Raises:
        AttributionError: an unknown class or token, a target or quantity for a model that has
            none, a function that returns something else, or no example is left.
    """
    _check_quantity(model, target, foil, quantity)
    wanted, subtracted = (None, None) if callable(target) else _resolve(model, target, foil)
    numbers: list[int] = []
    drafts: list[tuple[Encoding, Goal]] = []
    skipped = []
    for number, example in enumerate(examples):
        draft = draft_of(model, example, seed, target if callable(target) else None)
        if not isinstance(draft, str) and target == LABEL and model.task == "classification":
            draft = with_label(draft, example, model.labels)
        if isinstance(draft, str):
            skipped.append([example.id, draft])
            continue
        encoding, goal = draft
        if wanted is not None:
            goal = replace(goal, index=wanted, chosen="given")
        drafts.append((encoding, replace(goal, foil=subtracted, quantity=quantity)))
        numbers.append(number)
    finished = finish(model, [examples[number] for number in numbers], drafts)
    kept = []
    for number, (encoding, _), goal_or_reason in zip(numbers, drafts, finished, strict=True):
        if isinstance(goal_or_reason, str):
            skipped.append([examples[number].id, goal_or_reason])
        else:
            kept.append((encoding, goal_or_reason, number))
    if not kept:
        common = Counter(reason for _, reason in skipped).most_common(1)
        raise AttributionError(
            f"None of the {len(examples)} examples can be explained"
            + (f"; most often: {common[0][0]}." if common else "; give at least one.")
        )
    return Prepared(
        encodings=[encoding for encoding, _, _ in kept],
        goals=[goal for _, goal, _ in kept],
        kept=[number for _, _, number in kept],
        skipped=skipped,
    )


def _check_quantity(model: LoadedModel, target: Any, foil: str | None, quantity: str) -> None:
    """Refuse, before any work, a quantity that is not defined."""
    reason = None
    if quantity not in QUANTITIES:
        reason = f"give one of {', '.join(QUANTITIES)}"
    elif callable(target) and (foil is not None or quantity != "logit"):
        reason = (
            f"foil is {foil!r}, and a target function takes neither; let it return what is meant"
        )
    elif quantity == "logit":
        return
    elif model.task == "encoder":
        reason = f"{model.name} is an encoder and has no classes; leave it out"
    elif model.task == "classification" and len(model.labels) == 1:
        reason = f"{model.name} has one output and so no other class; leave it out"
    elif quantity == "margin" and foil is not None:
        reason = f"a margin is over the best other class, and foil names {foil!r}; give one of them"
    elif quantity == "margin" and model.task == "classification" and is_multi_label(model):
        reason = f"the classes of {model.name} do not exclude each other; leave it out"
    if reason:
        raise AttributionError(f"quantity is {quantity!r}: {reason}.")


def _resolve(
    model: LoadedModel, target: str | None, foil: str | None
) -> tuple[int | None, int | None]:
    """The indices that target and foil name; refused before any work."""
    if model.task == "encoder":
        if target is not None or foil is not None:
            raise AttributionError(
                f"target={target!r}, foil={foil!r}: {model.name} is an encoder, whose target is "
                "its embedding; load a classifier or a language model, or leave them out."
            )
        return None, None
    if model.task == "classification":
        find = partial(class_index, labels=model.labels)
        wanted = None if target in (None, LABEL) else find(str(target))
    else:
        find = partial(token_index, tokenizer=model.tokenizer)
        wanted = None if target is None else find(target)
    subtracted = None if foil is None else find(foil)
    if subtracted is not None and wanted == subtracted:
        raise AttributionError(
            f"target and foil are both {foil!r}, whose difference is always 0; name another foil."
        )
    return wanted, subtracted
