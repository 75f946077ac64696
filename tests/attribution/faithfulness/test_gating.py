"""Scaled embeddings, on every kind of model."""

from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from bertology.attribution import measure, prepare
from bertology.attribution.embeddings import word_embeddings
from bertology.attribution.faithfulness.gating import gated_outcomes, of_tokens
from bertology.attribution.faithfulness.soft import _drawn
from bertology.capture.batch import collate

#: The module; the package has a function of the same name.
STREAM = import_module("bertology.capture.stream")


def test_batches_equal_singles_and_whole_gates_change_nothing(case: SimpleNamespace) -> None:
    prepared = prepare(case.model, case.examples)
    gates = [
        [
            of_tokens(np.ones(len(encoding))),
            of_tokens(np.linspace(0.2, 1.5, len(encoding))),
            _drawn(np.full(len(encoding), 0.7), [0, number]),
        ]
        for number, encoding in enumerate(prepared.encodings)
    ]
    parts = prepared.encodings, prepared.goals, gates
    together = gated_outcomes(case.model, *parts, measure, description="gates")
    for number, (goal, values) in enumerate(zip(prepared.goals, together, strict=True)):
        one = ([part[number]] for part in parts)
        (alone,) = gated_outcomes(case.model, *one, measure, description="gates")
        np.testing.assert_allclose(values, alone, atol=1e-4)
        assert values[0] == pytest.approx(goal.value, abs=1e-4)
        assert len(np.unique(values.round(5))) == 3
    assert not word_embeddings(case.model.module)._forward_hooks


@pytest.mark.parametrize("name", ["roberta masked lm", "gpt2 lm"])
def test_padding_on_the_left_changes_nothing(
    case_of: Callable[[str], SimpleNamespace], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = case_of(name)
    prepared = prepare(case.model, case.examples)
    gates = [[of_tokens(np.linspace(0.2, 1.5, len(own)))] for own in prepared.encodings]
    parts = prepared.encodings, prepared.goals, gates
    right = gated_outcomes(case.model, *parts, measure, description="gates")

    def on_the_left(encodings: Any, model: Any) -> Any:
        return collate(encodings, model, side="left")

    monkeypatch.setattr(STREAM, "collate", on_the_left)
    left = gated_outcomes(case.model, *parts, measure, description="gates")
    np.testing.assert_allclose(left, right, atol=1e-4)


def test_elements_are_kept_as_often_as_asked() -> None:
    kept = _drawn(np.array([0.0, 0.3, 1.0]), [0])(4000)
    assert kept.shape == (3, 4000)
    assert set(kept.unique().tolist()) == {0.0, 1.0}
    assert kept.mean(1).tolist() == pytest.approx([0, 0.3, 1], abs=0.03)
    assert torch.equal(kept, _drawn(np.array([0.0, 0.3, 1.0]), [0])(4000))
