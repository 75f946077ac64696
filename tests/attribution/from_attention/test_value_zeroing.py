"""Value zeroing, beside zeroing the value of one token in one layer by a hook on its module."""

import sys
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bertology.attribution.from_attention import value_zeroing, value_zeroing_maps
from bertology.attribution.from_attention.value_zeroing import cosine_distance
from bertology.capture import collate, hidden_states

VALUES = {
    "bert": ("bert.encoder.layer.{}.attention.self.value", slice(None)),
    "albert": ("albert.encoder.albert_layer_groups.0.albert_layers.0.attention.value", slice(None)),
    "gpt2": ("transformer.h.{}.attn.c_attn", slice(64, 96)),
    "llama": ("model.layers.{}.self_attn.v_proj", slice(None)),
}


def states_without(
    case: SimpleNamespace, layer: int | None = None, token: int | None = None
) -> list[torch.Tensor]:
    """The hidden states of the first text when the values of a token are zero in one layer."""
    name, part = VALUES[case.family]
    calls = 0

    def zero(module: object, arguments: object, output: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        # ALBERT calls one module for all layers.
        if layer is None or (case.family == "albert" and calls - 1 != layer):
            return output
        changed = output.clone()
        changed[:, token, part] = 0
        return changed

    handle = case.module.get_submodule(name.format(layer or 0)).register_forward_hook(zero)
    with torch.no_grad(), hidden_states(case.module) as states:
        case.module(**collate(case.encodings[:1], case.model).inputs)
    handle.remove()
    return [state[0] for state in states]


@pytest.mark.parametrize(
    ("family", "task"),
    [("bert", "classification"), ("albert", "classification"), ("gpt2", "causal-lm"),
     ("llama", "classification")],
)  # fmt: skip
def test_maps_are_distances_after_zeroing_by_hand(
    ready: Callable[..., SimpleNamespace], family: str, task: str
) -> None:
    case = ready(family, task)
    case = SimpleNamespace(**vars(case), family=family)
    (own,) = value_zeroing_maps(case.model, case.encodings[:1])
    intact = states_without(case)
    tokens = len(case.encodings[0])
    for layer in range(3):
        moved = np.zeros((tokens, tokens))
        for token in range(tokens):
            changed = states_without(case, layer, token)[layer + 1].double()
            before = intact[layer + 1].double()
            cosine = torch.nn.functional.cosine_similarity(changed, before, dim=-1)
            moved[:, token] = (1 - cosine).numpy()
        expected = moved / moved.sum(1, keepdims=True)
        np.testing.assert_allclose(own.layers[layer], expected, atol=1e-4)
        assert (expected > 0.01).sum() > tokens
    if task == "causal-lm" or family == "llama":
        assert np.triu(own.layers, 1).max() < 1e-6


def test_layers_multiply_without_the_identity(ready: Callable[..., SimpleNamespace]) -> None:
    case = ready("bert", "classification")
    maps = value_zeroing_maps(case.model, case.encodings)
    scores = value_zeroing(case.model, case.encodings, case.goals, seed=0)
    for own, score, goal in zip(maps, scores, case.goals, strict=True):
        first, second, third = own.layers
        np.testing.assert_allclose(score, goal.rows @ third @ second @ first)
        assert score.sum() == pytest.approx(1)


def test_where_values_move_nothing_rows_are_the_identity(
    ready: Callable[..., SimpleNamespace],
) -> None:
    case = ready("bert", "classification", shared=False)
    value_zeroing_maps(case.model, case.encodings)  # proves the capture
    torch.nn.init.zeros_(case.module.bert.encoder.layer[1].attention.output.dense.weight)
    for own in value_zeroing_maps(case.model, case.encodings):
        np.testing.assert_array_equal(own.layers[1], np.eye(len(own.joined)))
        assert own.identity_rows == len(own.joined)


def test_copies_in_several_passes_are_the_same(
    ready: Callable[..., SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = ready("gpt2", "causal-lm")
    expected = value_zeroing(case.model, case.encodings, case.goals, seed=0)
    monkeypatch.setattr(sys.modules["bertology.capture.stream"], "CPU_TOKENS", 30)
    found = value_zeroing(case.model, case.encodings, case.goals, seed=0)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_distances_keep_their_digits() -> None:
    one = torch.tensor([1.0, 0.0])
    torch.testing.assert_close(cosine_distance(one, torch.tensor([0.0, 2.0])).item(), 1.0)
    torch.testing.assert_close(cosine_distance(one, -one).item(), 2.0)
    near = cosine_distance(one, torch.tensor([1.0, 1e-6]))
    assert near.item() == pytest.approx(5e-13, rel=1e-3)
