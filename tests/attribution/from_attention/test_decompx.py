"""DecompX: contributions sum to the target, states to the hidden states, and what is refused."""

import sys
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bertology.attribution import AttributionError, prepare
from bertology.attribution.from_attention import decompositions, decompx
from bertology.attribution.from_attention.linear import share_bias, slope

CASES = [
    (family, task)
    for family in ("bert", "roberta", "albert", "distilbert", "electra", "ernie")
    for task in ("classification", "masked-lm", "encoder")
]
MODULE = sys.modules[decompx.__module__]


@pytest.mark.parametrize(("family", "task"), CASES)
def test_contributions_sum_to_the_target_and_terms_to_the_states(
    ready: Callable[..., SimpleNamespace], family: str, task: str
) -> None:
    case = ready(family, task)
    found = decompositions(case.model, case.encodings, case.goals)
    for own, goal in zip(found, case.goals, strict=True):
        scale = max(abs(goal.value), np.abs(own.contributions).max())
        assert own.contributions.sum() == pytest.approx(goal.value, abs=1e-4 * scale)
        assert own.errors.shape == (3,) and own.errors.max() < 1e-5
        assert own.norms.shape == (3, len(goal.rows), len(goal.rows))
        assert (own.norms > 0).mean() > 0.9
        assert np.count_nonzero(own.contributions) > 1


def test_a_foil_is_subtracted(ready: Callable[..., SimpleNamespace]) -> None:
    case = ready("bert", "classification")
    by_class = [
        decompx(case.model, case.encodings, [with_class(case, n, i) for n in range(3)], seed=0)
        for i in (0, 1)
    ]
    goals = [
        replace(goal, index=0, foil=1, value=float(one.sum() - other.sum()))
        for goal, one, other in zip(case.goals, *by_class, strict=True)
    ]
    both = decompx(case.model, case.encodings, goals, seed=0)
    for score, one, other in zip(both, *by_class, strict=True):
        np.testing.assert_allclose(score, one - other, atol=1e-5)


def with_class(case: SimpleNamespace, number: int, index: int) -> object:
    goal = case.goals[number]
    with torch.no_grad():
        ids = torch.from_numpy(case.encodings[number].ids)[None]
        logits = case.module(input_ids=ids).logits[0]
    return replace(goal, index=index, value=float(logits[index]))


def test_a_pair_is_compared_by_the_cosine(
    ready: Callable[..., SimpleNamespace], make_example: Callable[..., object]
) -> None:
    case = ready("bert", "encoder")
    prepared = prepare(case.model, [make_example("w1 w2 w3 w4", pair="w5 w6 w7")])
    (score,) = decompx(case.model, prepared.encodings, prepared.goals, seed=0)
    assert prepared.goals[0].kind == "similarity"
    assert score.sum() == pytest.approx(prepared.goals[0].value, abs=1e-5)


def test_biases_left_out_are_noticed(
    ready: Callable[..., SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = ready("bert", "classification")
    monkeypatch.setattr(MODULE, "share_bias", lambda terms, bias: terms)
    with pytest.raises(AttributionError, match="contributions of the tokens sum to"):
        decompx(case.model, case.encodings, case.goals, seed=0)


def test_a_slope_left_out_is_noticed(
    ready: Callable[..., SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = ready("bert", "classification")
    monkeypatch.setattr(MODULE, "slope", lambda read, returned: torch.ones_like(read))
    with pytest.raises(AttributionError, match="contributions of the tokens sum to"):
        decompx(case.model, case.encodings, case.goals, seed=0)


def test_where_nothing_is_mixed_each_state_is_its_own(
    ready: Callable[..., SimpleNamespace],
) -> None:
    case = ready("bert", "classification", shared=False)
    decompx(case.model, case.encodings, case.goals, seed=0)  # proves the capture
    for block in case.module.bert.encoder.layer:
        torch.nn.init.zeros_(block.attention.output.dense.weight)
        torch.nn.init.zeros_(block.attention.output.dense.bias)
    goals = [with_class(case, number, 0) for number in range(3)]
    for own, goal in zip(decompositions(case.model, case.encodings, goals), goals, strict=True):
        off = ~np.eye(len(goal.rows), dtype=bool)
        assert not own.norms[:, off].any() and own.norms[:, ~off].all()
        assert own.contributions[0] == pytest.approx(goal.value, abs=1e-5)
        assert not own.contributions[1:].any()


def test_biases_are_shared_by_absolute_products() -> None:
    terms = torch.tensor([[1.0, 0.0], [-3.0, 1.0], [0.0, 5.0]])
    found = share_bias(terms, torch.tensor([2.0, 0.0]))
    torch.testing.assert_close(found - terms, torch.tensor([[0.5, 0], [1.5, 0], [0, 0]]))
    even = share_bias(torch.zeros(4, 2), torch.tensor([2.0, 1.0]))
    torch.testing.assert_close(even, torch.tensor([[0.5, 0.25]] * 4))
    torch.testing.assert_close(share_bias(terms, torch.zeros(2)), terms)


def test_the_slope_of_a_nonlinearity() -> None:
    read = torch.tensor([-2.0, 0.0, 3.0])
    torch.testing.assert_close(slope(read, read.relu()), torch.tensor([0.0, 0.0, 1.0]))
    torch.testing.assert_close(slope(read, read.tanh()) * read, read.tanh())


def test_what_is_no_logit_and_what_reads_many_rows_is_refused(
    ready: Callable[..., SimpleNamespace],
) -> None:
    case = ready("bert", "classification")
    with pytest.raises(AttributionError, match="takes apart a logit"):
        decompx(
            case.model, case.encodings,
            [replace(goal, quantity="probability") for goal in case.goals], seed=0,
        )  # fmt: skip
    spread = [replace(g, rows=np.full(len(g.rows), 1 / len(g.rows))) for g in case.goals]
    with pytest.raises(AttributionError, match="read from several rows"):
        decompx(case.model, case.encodings, spread, seed=0)


def test_a_head_that_computes_more_is_refused(ready: Callable[..., SimpleNamespace]) -> None:
    case = ready("bert", "classification", shared=False)
    case.module.register_forward_hook(lambda part, arguments, output: squashed(output))
    goals = [replace(goal, value=float(np.tanh(goal.value))) for goal in case.goals]
    with pytest.raises(AttributionError, match="something after its last block"):
        decompx(case.model, case.encodings, goals, seed=0)


def squashed(output: SimpleNamespace) -> SimpleNamespace:
    output.logits = output.logits.tanh()
    return output
