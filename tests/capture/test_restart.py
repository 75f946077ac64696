"""A pass restarted at a layer equals the whole pass, bit by bit, or is not used."""

import numpy as np
import pytest
import torch

from bertology.capture.restart import recording, restart_blocks, skipping
from bertology.ablation.sweep import score_without_heads
from bertology.attribution.targets import prepare
from bertology.capture import collate

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


def test_skipped_blocks_do_not_run(tiny_model, random_examples):
    model = tiny_model("bert")
    batch = collate(prepare(model, random_examples(2).examples).encodings, model)
    blocks = restart_blocks(model.module)
    ran = []
    for number, block in enumerate(blocks):
        block.attention.register_forward_hook(lambda *_, number=number: ran.append(number))
    with torch.no_grad():
        with recording(model.module, blocks) as passes:
            intact = model.module(**batch.inputs)[0]
        ran.clear()
        with skipping(model.module, blocks, passes, 2):
            again = model.module(**batch.inputs)[0]
    assert ran == [2]
    assert torch.equal(intact, again)


def test_shared_blocks_run_whole(tiny_model):
    assert restart_blocks(tiny_model("albert").module) == []


@pytest.mark.parametrize("fails", [True, False])
def test_blocks_that_share_more_than_their_output_run_whole(tiny_model, fails):
    module = tiny_model("bert").module
    side = {}

    def leave(part, given, output):
        side["left"] = output[0]

    def take(part, given):
        extra = side.pop("left") if fails else side.pop("left", 0.0)
        return (given[0] + extra, *given[1:])

    module.encoder.layer[0].attention.register_forward_hook(leave)
    module.encoder.layer[2].register_forward_pre_hook(take)
    assert restart_blocks(module) == []
    assert all("forward" not in part.__dict__ for part in module.modules())
