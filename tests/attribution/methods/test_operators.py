"""Taking words away: each operator against the model run by hand."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bertology.attribution import Goal, leave_one_out, leave_one_token_out, prepare
from bertology.models import LoadedModel


def by_hand(
    model: LoadedModel, goal: Goal, ids: torch.Tensor, mask: torch.Tensor, row: int
) -> float:
    """The target on these ids, straight from the model."""
    with torch.no_grad():
        output = model.module(input_ids=ids, attention_mask=mask)[0][0]
    if goal.reference is not None:
        mean = output[mask[0].bool()].mean(0)
        return (mean @ goal.reference / goal.reference.norm()).item()
    return (output if goal.kind == "class" else output[row])[goal.index].item()


@pytest.mark.parametrize("operator", ["delete", "mask", "pad", "hide"])
def test_leave_one_out_is_the_model_without_the_word(case: SimpleNamespace, operator: str) -> None:
    model, tokenizer = case.model, case.model.tokenizer
    if operator == "mask" and tokenizer.mask_token_id is None:
        pytest.skip("the tokenizer has no mask token")
    prepared = prepare(model, case.examples)
    scores = leave_one_out(model, prepared.encodings, prepared.goals, seed=0, operator=operator)
    effects = []
    for encoding, goal, score in zip(prepared.encodings, prepared.goals, scores, strict=True):
        for word in range(len(encoding.sentence)):
            own = encoding.words == word
            if not goal.scored[own].any():
                assert not score[own].any()
                continue
            ids, mask = torch.from_numpy(encoding.ids)[None], torch.ones(1, len(own), dtype=int)
            row = goal.position
            if operator == "delete":
                ids, mask = ids[:, ~own], mask[:, ~own]
                # Where the predicting row itself goes, the last one left predicts.
                row = None if row is None else int((~own)[: row + 1].sum()) - 1
            elif operator == "hide":
                mask = torch.from_numpy(~own).long()[None]
            else:
                token = tokenizer.mask_token_id if operator == "mask" else tokenizer.pad_token_id
                ids = ids.masked_fill(torch.from_numpy(own), token)
            effect = goal.value - by_hand(model, goal, ids, mask, row)
            assert score[own].sum() == pytest.approx(effect, rel=1e-3, abs=1e-4)
            effects.append(abs(effect))
    assert max(effects) > 0.01


def test_operators_differ(case_of: Callable[[str], SimpleNamespace]) -> None:
    case = case_of("bert classifier")
    prepared = prepare(case.model, case.examples)
    found = [
        np.concatenate(leave_one_out(case.model, prepared.encodings, prepared.goals, seed=0,
                                     operator=operator))
        for operator in ("delete", "mask", "pad", "hide")
    ]  # fmt: skip
    assert all(not np.allclose(a, b) for i, a in enumerate(found) for b in found[:i])


def test_leave_one_token_out_deletes_single_tokens(
    case_of: Callable[[str], SimpleNamespace],
) -> None:
    case = case_of("bert classifier")
    prepared = prepare(case.model, case.examples[:1])
    (encoding,), (goal,) = prepared.encodings, prepared.goals
    (scores,) = leave_one_token_out(case.model, [encoding], [goal], seed=0)
    for token in np.flatnonzero(goal.scored):
        ids = torch.from_numpy(np.delete(encoding.ids, token))[None]
        effect = goal.value - by_hand(case.model, goal, ids, torch.ones_like(ids), 0)
        assert scores[token] == pytest.approx(effect, abs=1e-4)
