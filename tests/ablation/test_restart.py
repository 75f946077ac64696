"""A sweep with restarted passes equals one with whole passes, bit by bit."""

import numpy as np
import pytest
import torch

from bertology.ablation.sweep import score_without_heads
from bertology.attribution.targets import prepare
from bertology.capture import collate
from bertology.capture.restart import restart_blocks

FAMILIES = [("bert", "classification"), ("roberta", "encoder"), ("distilbert", "masked-lm"),
            ("electra", "encoder"), ("ernie", "encoder"), ("gpt2", "causal-lm"),
            ("llama", "causal-lm")]  # fmt: skip


@pytest.mark.parametrize(("family", "task"), FAMILIES)
@pytest.mark.parametrize("side", ["right", "left"])
def test_restarted_equals_whole(tiny_model, random_examples, family, task, side):
    model = tiny_model(family, task)
    prepared = prepare(model, random_examples(6).examples)
    batch = collate(prepared.encodings, model, side)
    blocks = restart_blocks(model.module)
    assert len(blocks) == 3
    fills = [None, torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(1))]
    labels = np.array([0, 1, 0, 1, -1, -1]) if task == "classification" else np.full(6, -1)
    whole, restarted = (
        score_without_heads(model, batch, prepared.goals, labels, fills, used)
        for used in ([], blocks)
    )
    for one, other in zip(whole, restarted, strict=True):
        np.testing.assert_array_equal(one.base, other.base)
        np.testing.assert_array_equal(one.ablated, other.ablated)
