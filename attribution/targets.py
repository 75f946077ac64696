"""Targets: the checkpoint's task decides which number is explained on each example."""

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..capture import Batch, eval_mode, hidden_states
from ..corpora import Encoding, Example, encode
from ..corpora.align import misfit
from ..errors import AttributionError
from ..models import LoadedModel
from .goals import Goal, logits_at, mean_pooled, measure, probability, run
from .naming import class_index, token_index, token_name
from .running import stream_with

__all__ = ["Goal", "Prepared", "measure", "prepare", "probability"]

#: `target` of this name explains each example's own label.
LABEL = "label"
#: A ranking of fewer words says nothing, and without them no text would be left.
MIN_WORDS = 2


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
    target: str | None = None,
    foil: str | None = None,
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
        target: a class (or `label`: each example's own), or a token, instead of the predicted.
        foil: a class or token whose logit is subtracted.
        seed: chooses the masked words; the choice depends on seed and text alone.

    Raises:
        AttributionError: an unknown class or token, a target for a model that takes none, or
            no example is left.
    """
    wanted, subtracted = _resolve(model, target, foil)
    numbers: list[int] = []
    drafts: list[tuple[Encoding, Goal]] = []
    skipped = []
    for number, example in enumerate(examples):
        draft = _draft(model, example, seed)
        if not isinstance(draft, str) and target == LABEL and model.task == "classification":
            draft = _with_label(draft, example, model.labels)
        if isinstance(draft, str):
            skipped.append([example.id, draft])
            continue
        encoding, goal = draft
        index = goal.index if wanted is None else wanted
        drafts.append((encoding, replace(goal, index=index, foil=subtracted)))
        numbers.append(number)
    finished = _finish(model, [examples[number] for number in numbers], drafts)
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


def _draft(model: LoadedModel, example: Example, seed: int) -> tuple[Encoding, Goal] | str:
    """The goal as far as it is known before the forward pass, or why there is none."""
    # An encoder embeds the two texts of a pair apart; other models read them as one input.
    pair = None if model.task == "encoder" else example.pair
    encoding = encode(example.sentence, model.tokenizer, pair)
    if reason := misfit(encoding, model.max_tokens):
        return reason
    kinds = {"classification": "class", "masked-lm": "masked token", "causal-lm": "next token"}
    kind = kinds.get(model.task, "similarity" if example.pair else "embedding")
    goal = Goal(kind, kind, np.nan, np.zeros(len(encoding)), encoding.words >= 0)
    if kind == "masked token":
        masked = _masked(model, encoding, goal, seed)
        if isinstance(masked, str):
            return masked
        encoding, goal = masked
    elif kind == "next token":
        # A separator that the tokenizer put at the end is not part of the text to go on with.
        goal = replace(goal, position=int(np.flatnonzero(~encoding.added)[-1]))
    if len(np.unique(encoding.words[goal.scored])) < MIN_WORDS:
        return f"fewer than {MIN_WORDS} words to score"
    return encoding, goal


def _with_label(
    draft: tuple[Encoding, Goal], example: Example, labels: Sequence[str]
) -> tuple[Encoding, Goal] | str:
    if example.label is None:
        return "it has no label"
    try:
        return draft[0], replace(draft[1], index=class_index(example.label, labels))
    except AttributionError:
        return f"its label {example.label!r} is none of the classes {', '.join(labels)}"


def _masked(
    model: LoadedModel, encoding: Encoding, goal: Goal, seed: int
) -> tuple[Encoding, Goal] | str:
    """Find the mask in the text, or mask a word of it."""
    mask = model.tokenizer.mask_token_id
    if mask is None:
        return "the tokenizer has no mask token"
    present = np.flatnonzero(encoding.ids == mask)
    if len(present):
        position, index = int(present[0]), None
    else:
        single = np.isin(encoding.words, np.flatnonzero(encoding.word_tokens == 1))
        known = encoding.ids != model.tokenizer.unk_token_id
        candidates = np.flatnonzero(single & known & ~encoding.punctuation)
        if not len(candidates):
            return "no word that is a single token and not punctuation can be masked"
        text = zlib.crc32(encoding.sentence.text.encode())
        position = int(np.random.default_rng([seed, text]).choice(candidates))
        index = int(encoding.ids[position])
        ids, tokens = encoding.ids.copy(), list(encoding.tokens)
        ids[position], tokens[position] = mask, model.tokenizer.mask_token
        encoding = replace(encoding, ids=ids, tokens=tuple(tokens))
    hidden = np.unique(encoding.words[encoding.ids == mask])
    scored = goal.scored & ~np.isin(encoding.words, hidden)
    return encoding, replace(goal, position=position, index=index, scored=scored)


def _finish(
    model: LoadedModel, examples: list[Example], drafts: list[tuple[Encoding, Goal]]
) -> list[Goal | str]:
    encodings, goals = [encoding for encoding, _ in drafts], [goal for _, goal in drafts]
    if model.task == "encoder":
        return _finish_embeddings(model, examples, encodings, goals)
    finish = _finish_classes if model.task == "classification" else _finish_tokens
    return stream_with(model, encodings, goals, partial(finish, model), description="targets")


def _finish_classes(model: LoadedModel, batch: Batch, goals: list[Goal]) -> list[Goal | str]:
    module = model.module
    with torch.enable_grad(), eval_mode(module), hidden_states(module) as states:
        logits = module(**batch.inputs)[0].float()
        decided = [_decide(g, row, model.labels) for g, row in zip(goals, logits, strict=True)]
        values = torch.stack([
            row[g.index] - (row[g.foil] if g.foil is not None else 0.0)
            for g, row in zip(decided, logits, strict=True)
        ])  # fmt: skip
        (gradient,) = torch.autograd.grad(values.sum(), states[-1])
    read = ((gradient != 0).any(-1) & batch.mask.bool()).cpu().numpy()
    tokens = batch.mask.bool().cpu().numpy()
    return [
        _checked(replace(goal, value=value, rows=_rows(read[row][tokens[row]])))
        for row, (goal, value) in enumerate(zip(decided, values.tolist(), strict=True))
    ]


def _finish_tokens(model: LoadedModel, batch: Batch, goals: list[Goal]) -> list[Goal | str]:
    names = _TokenNames(model.tokenizer)
    with torch.no_grad():
        positions = [g.position for g in goals if g.position is not None]
        logits = logits_at(run(model, batch), batch.mask, positions)
    finished = []
    for goal, row, encoding in zip(goals, logits, batch.encodings, strict=True):
        decided = _decide(goal, row, names)
        foil = row[decided.foil].item() if decided.foil is not None else 0.0
        rows = _rows(np.arange(len(encoding)) == decided.position)
        value = row[decided.index].item() - foil
        finished.append(_checked(replace(decided, value=value, rows=rows)))
    return finished


@dataclass(frozen=True)
class _TokenNames:
    tokenizer: Any

    def __getitem__(self, index: int) -> str:
        return token_name(index, self.tokenizer)


def _decide(goal: Goal, logits: Tensor, names: Any) -> Goal:
    index = int(logits.argmax()) if goal.index is None else goal.index
    name = names[index] if goal.foil is None else f"{names[index]} - {names[goal.foil]}"
    return replace(goal, index=index, name=name)


def _checked(goal: Goal) -> Goal | str:
    if goal.foil is not None and goal.index == goal.foil:
        return f"the foil is what the model predicts ({goal.name}); name a target"
    return goal if np.isfinite(goal.value) else f"the target is {goal.value}"


def _rows(read: np.ndarray) -> np.ndarray:
    """All weight on the row that is read; if several are, the mean over all rows."""
    weights = read if read.sum() == 1 else np.ones(len(read))
    return weights / weights.sum()


def _finish_embeddings(
    model: LoadedModel, examples: list[Example], encodings: list[Encoding], goals: list[Goal]
) -> list[Goal | str]:
    own = _embed(model, encodings)
    pairs = [encode(e.pair, model.tokenizer) for e in examples if e.pair is not None]
    too_long = [misfit(pair, model.max_tokens) for pair in pairs]
    partners = iter(_embed(model, [p for p, r in zip(pairs, too_long, strict=True) if not r]))
    reasons = iter(too_long)
    finished: list[Goal | str] = []
    for goal, embedding in zip(goals, own, strict=True):
        reference = embedding
        if goal.kind == "similarity":
            if reason := next(reasons):
                finished.append(f"its pair: {reason}")
                continue
            reference = next(partners)
        value = (embedding @ reference / reference.norm()).item()
        if goal.kind == "similarity":
            value /= embedding.norm().item()
        rows = np.full(len(goal.rows), 1 / len(goal.rows))
        finished.append(_checked(replace(goal, value=value, rows=rows, reference=reference)))
    return finished


def _embed(model: LoadedModel, encodings: list[Encoding]) -> list[Tensor]:
    def embed(batch: Batch, _: list[None]) -> list[Tensor]:
        with torch.no_grad():
            return list(mean_pooled(run(model, batch), batch.mask))

    nothing = [None] * len(encodings)
    return stream_with(model, encodings, nothing, embed, description="embeddings")
