"""A pass restarted at a block equals the whole pass, bit by bit, or is not used."""

from functools import cache

import pytest
import torch

from bertology.capture import Hook, find_sites, hooked
from bertology.capture.restart import place_of, recording, restart_blocks, skipping
from bertology.errors import CaptureError

from .families import FAMILIES
from .oracles import build, padded

#: Families whose passes run whole, and why.
WHOLE = {
    "albert": "all layers share one block",
    "xlm": "it has no block modules",
    "flaubert": "it has no block modules",
    "squeezebert": "its blocks are called past every hook",
    "reformer, local": "its blocks hand on two streams and draw hashes",
    "reformer, hashed": "its blocks hand on two streams and draw hashes",
}


@cache
def model(name):
    module = build(FAMILIES[name])
    return module, padded(FAMILIES[name], module)


def without(module, at):
    """Zero every head of some sites."""
    return Hook(
        edit_output=lambda event: (
            torch.zeros_like(event.head_output) if at(event.site) else event.head_output
        )
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_restarted_equals_whole_in_every_family(name) -> None:
    module, inputs = model(name)
    blocks = restart_blocks(module)
    assert (blocks == []) == (name in WHOLE)
    if not blocks:
        return
    sites = find_sites(module)
    quiet = Hook(observe=lambda e: None, attention=False)
    with torch.no_grad(), hooked(module, quiet), recording(module, blocks) as passes:
        intact = module(**inputs)[0]
    assert sorted({place_of(module, blocks, site) for site in sites}) == list(range(len(blocks)))
    for site in sites:
        place = place_of(module, blocks, site)
        with torch.no_grad(), hooked(module, without(module, lambda one, s=site: one == s)):
            whole = module(**inputs)[0]
            with skipping(module, blocks, passes, place):
                restarted = module(**inputs)[0]
                again = module(**inputs)[0]
        # No difference at all: the same kernels run on the same numbers.
        assert torch.equal(whole, restarted) and torch.equal(whole, again)
        assert not torch.allclose(whole, intact, atol=1e-3)


@pytest.mark.parametrize(("name", "place"), [("bert", 2), ("llama", 1), ("t5", 1), ("t5", 4)])
def test_skipped_blocks_do_not_run(name, place) -> None:
    module, inputs = model(name)
    blocks, ran, handles = restart_blocks(module), [], []
    with torch.no_grad(), recording(module, blocks) as passes:
        intact = module(**inputs)[0]
    for number, block in enumerate(blocks):
        inside = next(iter(block.children()))
        handles.append(inside.register_forward_hook(lambda *_, n=number: ran.append(n)))
        if isinstance(inside, torch.nn.ModuleList):  # T5 calls what is in the list
            handles.append(inside[0].register_forward_hook(lambda *_, n=number: ran.append(n)))
    with torch.no_grad(), skipping(module, blocks, passes, place):
        again = module(**inputs)[0]
    for handle in handles:
        handle.remove()
    assert set(ran) == set(range(place, len(blocks)))
    assert torch.equal(intact, again)


def test_each_pass_of_a_measurement_gets_its_own_recording() -> None:
    module, inputs = model("bert")
    blocks = restart_blocks(module)
    short = {key: value[1:2] for key, value in inputs.items()}
    with torch.no_grad():
        with recording(module, blocks) as passes:
            first, second = module(**inputs)[0], module(**short)[0]
        with skipping(module, blocks, passes, 3):
            for _ in range(2):
                assert torch.equal(module(**inputs)[0], first)
                assert torch.equal(module(**short)[0], second)
    assert all("forward" not in part.__dict__ for part in module.modules())


def test_a_failing_pass_leaves_the_blocks_as_they_were() -> None:
    module, inputs = model("bert")
    blocks = restart_blocks(module)
    own = blocks[0].forward
    blocks[0].forward = lambda *a, **k: own(*a, **k)  # a user's own wrapper
    wrapper = blocks[0].forward
    try:
        with torch.no_grad(), recording(module, blocks) as passes:
            module(**inputs)
        with pytest.raises(ValueError, match="input_ids"), skipping(module, blocks, passes, 2):
            module(nonsense=1)
        assert blocks[0].forward is wrapper and "forward" not in blocks[1].__dict__
    finally:
        del blocks[0].forward


@pytest.mark.parametrize("how", ["fails", "differs", "other way"])
def test_blocks_that_share_more_than_their_output_run_whole(how) -> None:
    module = build(FAMILIES["bert"])
    side = {}

    def leave(part, given, output):
        side["left"] = output[0]

    def take(part, given):
        if how == "other way" and "left" not in side:
            raise CaptureError("computed in another way")
        extra = side.pop("left") if how == "fails" else side.pop("left", 0.0)
        return (given[0] + extra, *given[1:])

    module.encoder.layer[0].attention.register_forward_hook(leave)
    module.encoder.layer[2].register_forward_pre_hook(take)
    assert restart_blocks(module) == []
    assert all("forward" not in part.__dict__ for part in module.modules())
