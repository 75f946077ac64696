"""A sweep with restarted and packed passes equals one with whole passes."""

import numpy as np
import pytest
import torch

from bertology.ablation.packed import StandIn
from bertology.ablation.parts import (
    every_attention,
    every_head,
    every_layer,
    every_mlp,
    every_pair,
)
from bertology.ablation.switches import Written
from bertology.attribution.targets import prepare
from bertology.capture import collate
from bertology.capture.restart import restart_blocks
from bertology.capture.shortcut import Restarts, find_restarts

FAMILIES = [("bert", "classification"), ("roberta", "encoder"), ("distilbert", "masked-lm"),
            ("electra", "encoder"), ("ernie", "encoder"), ("gpt2", "causal-lm"),
            ("llama", "causal-lm"), ("albert", "encoder")]  # fmt: skip
WHOLE = Restarts([])


def stand_ins(*modes):
    """Random stand-ins, for MLPs and layers too."""
    draw = torch.Generator().manual_seed(1)
    mean = Written(
        heads={layer: torch.randn(4, 8, generator=draw) for layer in range(3)},
        mlps={layer: torch.randn(32, generator=draw) for layer in range(3)},
        layers={layer: torch.randn(32, generator=draw) for layer in range(3)},
    )
    return [StandIn(mode, mean if mode == "mean" else None) for mode in modes]


@pytest.mark.parametrize(
    ("family", "task", "side"),
    [*((*one, "right") for one in FAMILIES), ("gpt2", "causal-lm", "left")],
)
def test_restarted_and_packed_equal_whole(
    tiny_model, random_examples, sweep_scores, family, task, side
):
    model = tiny_model(family, task)
    prepared = prepare(model, random_examples(3).examples)
    batch = collate(prepared.encodings, model, side)
    found = find_restarts(model.module)
    blocks_only = Restarts(restart_blocks(model.module))
    assert len(found.shortcuts) == (0 if family == "albert" else 3) and found.packs
    for parts, modes in (
        ([*every_head(model.module), *every_attention(model.module)], ("zero", "mean", "uniform")),
        (
            [
                *every_mlp(model.module),
                *every_layer(model.module),
                *every_pair([(0, 1), (1, 3), (1, 2), (2, 0)]),
            ],
            ("zero", "mean"),
        ),
    ):
        given = prepared.goals, parts, stand_ins(*modes)
        base, whole = sweep_scores(model, batch, *given, WHOLE, most=1)
        for restarts in (blocks_only, Restarts(found.blocks, found.shortcuts)):
            again, restarted = sweep_scores(model, batch, *given, restarts)
            np.testing.assert_array_equal(base, again)
            # No difference at all: the same kernels run on the same numbers.
            np.testing.assert_array_equal(whole, restarted)
        # Larger matrices are multiplied in another order.
        _, packed = sweep_scores(model, batch, *given, found)
        size = np.abs(whole).max()
        np.testing.assert_allclose(packed, whole, rtol=0, atol=2e-6 * max(1, size))
        effects = np.abs(whole - base).max(-1)
        assert effects.min() > 1e-5 and np.median(effects) > 1e-2, "positive control"


def test_out_of_memory_packs_less(tiny_model, random_examples, sweep_scores, monkeypatch):
    from bertology.ablation import packed

    model = tiny_model("bert", "classification")
    prepared = prepare(model, random_examples(4).examples)
    batch, parts = collate(prepared.encodings, model), every_head(model.module)
    given = batch, prepared.goals, parts, stand_ins("zero")
    restarts = find_restarts(model.module)
    _, expected = sweep_scores(model, *given, restarts)
    sizes = []
    own = packed._packed

    def scarce(batch, copies):
        sizes.append(copies)
        if copies > 1:
            raise torch.OutOfMemoryError("on purpose")
        return own(batch, copies)

    monkeypatch.setattr(packed, "_packed", scarce)
    _, found = sweep_scores(model, *given, restarts)
    assert sizes == [4, 2, *[1] * 12], "what did not fit is not tried again"
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)
