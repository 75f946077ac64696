"""The loss in the place of the target: what the model is wrong by, where the answer is known."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...attribution.goals import is_multi_label, predicting_logits, run
from ...attribution.targets import Goal, measure
from ...capture import Batch
from ...corpora import Encoding, Example
from ...errors import CorpusError, ModelError


@dataclass(frozen=True)
class LossGoal(Goal):
    """A goal whose loss is measured: of its class or token, its text, or its number."""

    number: float = np.nan
    """The label of a regression."""


def scored(model: Any, batch: Batch, goals: Sequence[Goal]) -> Tensor:
    """What is differentiated, (batch,): the loss of loss goals, the target of all others."""
    if isinstance(goals[0], LossGoal):
        return losses(model, batch, [goal for goal in goals if isinstance(goal, LossGoal)])
    return measure(model, batch, goals)


def losses(model: Any, batch: Batch, goals: Sequence[LossGoal]) -> Tensor:
    """The loss of each text, (batch,).

    The cross-entropy of the label, or of the word behind the mask; of a causal language model the
    mean over the text's own tokens, each given those before it; the squared error of a
    regression.
    """
    if model.task == "causal-lm":
        return _of_texts(run(model, batch), batch)
    logits = predicting_logits(run(model, batch), batch, goals)
    if logits.shape[1] == 1:
        return (logits[:, 0] - logits.new_tensor([goal.number for goal in goals])) ** 2
    wanted = torch.tensor([goal.index for goal in goals], device=logits.device)
    return functional.cross_entropy(logits, wanted, reduction="none")


def refuse_lossless(model: Any, examples: Sequence[Example]) -> None:
    """Refuse, before any work, a model or data without a loss.

    Raises:
        ModelError: an encoder, or classes that do not exclude each other.
        CorpusError: a classifier or regression, and no example has a label.
    """
    if model.task == "encoder" or is_multi_label(model):
        what = "is an encoder" if model.task == "encoder" else "gives several classes at once"
        raise ModelError(
            f"{model.name} {what}, for which no loss is defined here; take the target "
            "(against='target'), or load a classifier or a language model."
        )
    if model.task == "classification" and all(example.label is None for example in examples):
        raise CorpusError(
            f"The loss needs labels, and none of the {len(examples)} examples has one; give "
            "labelled examples, or take the target (against='target')."
        )


def loss_goal(model: Any, encoding: Encoding, goal: Goal, example: Example) -> LossGoal | str:
    """The loss goal of an example, or why it has none."""
    own = LossGoal(**{f.name: getattr(goal, f.name) for f in fields(goal)})
    if model.task == "causal-lm":
        return replace(own, rows=np.full(len(encoding), 1 / len(encoding)))
    if model.task == "masked-lm":
        return own if goal.chosen == "in the text" else "the word behind its mask is not known"
    if len(model.labels) > 1:
        return own
    try:
        return replace(own, number=float(example.label or ""))
    except ValueError:
        return f"its label {example.label!r} is no number"


def _of_texts(logits: Tensor, batch: Batch) -> Tensor:
    ids, mask = batch.inputs["input_ids"], batch.mask.bool()
    own = torch.zeros_like(mask)
    for row, encoding in enumerate(batch.encodings):
        own[row, mask[row]] = torch.from_numpy(~encoding.added).to(own.device)
    # The first token follows on nothing, on whichever side the padding is.
    own = own[:, 1:] & mask[:, :-1]
    each = functional.cross_entropy(logits[:, :-1].mT, ids[:, 1:], reduction="none")
    return each.where(own, 0.0).sum(1) / own.sum(1)
