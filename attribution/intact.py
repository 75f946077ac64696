"""Goals completed on the intact texts: the predicted class or token, the value, the rows read."""

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
from .goals import Goal, applied, logits_at, mean_pooled, of_logits, run
from .naming import quantity_name, token_name
from .running import stream_with


def finish(
    model: LoadedModel, examples: list[Example], drafts: list[tuple[Encoding, Goal]]
) -> list[Goal | str]:
    """Complete drafts of goals by a forward pass of the intact texts; or the reason why not."""
    encodings, goals = [encoding for encoding, _ in drafts], [goal for _, goal in drafts]
    own = any(goal.function for goal in goals)
    if model.task == "encoder" and not own:
        return _finish_embeddings(model, examples, encodings, goals)
    complete = _finish_tokens
    if own or model.task == "classification":
        complete = _finish_function if own else _finish_classes
    return stream_with(model, encodings, goals, partial(complete, model), description="targets")


def _finish_classes(model: LoadedModel, batch: Batch, goals: list[Goal]) -> list[Goal | str]:
    module = model.module
    with torch.enable_grad(), eval_mode(module), hidden_states(module) as states:
        logits = module(**batch.inputs)[0].float()
        decided = [_decide(g, row, model.labels) for g, row in zip(goals, logits, strict=True)]
        values = of_logits(model, logits, decided)
        (gradient,) = torch.autograd.grad(values.sum(), states[-1])
    return _read_where(gradient, (gradient != 0).any(-1), batch, decided, values)


def _finish_function(model: LoadedModel, batch: Batch, goals: list[Goal]) -> list[Goal | str]:
    module, function = model.module, goals[0].function
    if function is None:
        raise AttributionError("The goals have no function; make them with one call of prepare.")
    with torch.enable_grad(), eval_mode(module), hidden_states(module) as states:
        values = applied(function, module(**batch.inputs), batch)
        if not values.requires_grad:
            raise AttributionError(
                f"The target {goals[0].name} does not depend on the outputs in a way that can be "
                "differentiated; compute it with torch operations, without detach() or no_grad()."
            )
        first, last = torch.autograd.grad(
            values.sum(), (states[0], states[-1]), allow_unused=True, materialize_grads=True
        )
    return _read_where(first, (last != 0).any(-1), batch, goals, values)


def _read_where(
    gradient: Tensor, rows: Tensor, batch: Batch, goals: Sequence[Goal], values: Tensor
) -> list[Goal | str]:
    """Goals with their value and rows.

    Args:
        gradient: (batch, token, hidden), zero where the target does not depend on the text.
        rows: (batch, token), where the target looks at the last hidden state.
    """
    tokens = batch.mask.bool()
    depends = (gradient != 0).any(-1) & tokens
    finished: list[Goal | str] = []
    for row, (goal, value) in enumerate(zip(goals, values.tolist(), strict=True)):
        read = rows[row][tokens[row]].cpu().numpy()
        own = _checked(replace(goal, value=value, rows=_rows(read)))
        if isinstance(own, Goal) and not depends[row].any():
            own = f"the target {goal.name} is constant ({value:.4g}, with a gradient of zero)"
        finished.append(own)
    return finished


def _finish_tokens(model: LoadedModel, batch: Batch, goals: list[Goal]) -> list[Goal | str]:
    names = _TokenNames(model.tokenizer)
    with torch.no_grad():
        positions = [g.position for g in goals if g.position is not None]
        logits = logits_at(run(model, batch), batch.mask, positions)
        decided = [_decide(g, row, names) for g, row in zip(goals, logits, strict=True)]
        values = of_logits(model, logits, decided).tolist()
    return [
        _checked(replace(goal, value=value, rows=_rows(np.arange(len(e)) == goal.position)))
        for goal, value, e in zip(decided, values, batch.encodings, strict=True)
    ]


@dataclass(frozen=True)
class _TokenNames:
    tokenizer: Any

    def __getitem__(self, index: int) -> str:
        return token_name(index, self.tokenizer)


def _decide(goal: Goal, logits: Tensor, names: Any) -> Goal:
    index = int(logits.argmax()) if goal.index is None else goal.index
    name = names[index] if goal.foil is None else f"{names[index]} - {names[goal.foil]}"
    return replace(goal, index=index, name=quantity_name(name, goal.quantity))


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
