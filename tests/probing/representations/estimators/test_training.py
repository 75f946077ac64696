"""Training: the best epoch is kept, the rate falls as it says, nothing global is left changed."""

import numpy as np
import pytest
import torch
from torch import nn

from bertology.probing.representations.estimators.training import (
    Schedule,
    as_array,
    batches,
    full_precision,
    retrain,
    seeded,
    train,
)


def _counting(losses):
    """A parameter that Adam moves by one rate an epoch, and a held-out loss that is scripted."""
    module = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(module.weight)
    held_out = iter(losses)
    return module, lambda: iter([-module.weight.sum()]), lambda: next(held_out)


def test_parameters_of_the_best_epoch_are_kept():
    module, epoch, held_out = _counting([3.0, 2.0, 2.5, 2.5, 2.5])
    rates = train(module, epoch, held_out, Schedule(rate=0.1, factor=0.5, patience=3))
    assert rates == (0.1, 0.1)
    assert float(module.weight.detach()) == pytest.approx(0.2, rel=1e-5)


def test_the_rate_falls_after_every_epoch_that_is_no_better():
    module, epoch, held_out = _counting([3.0, 3.0, 3.0, 2.0, 9.0, 9.0])
    rates = train(module, epoch, held_out, Schedule(rate=0.1, factor=0.5, patience=3, epochs=6))
    assert rates == (0.1, 0.1, 0.05, 0.025)


def test_training_ends_with_the_last_epoch_allowed():
    module, epoch, held_out = _counting([3.0, 2.0, 1.0])
    assert train(module, epoch, held_out, Schedule(epochs=2)) == (1e-3, 1e-3)


def test_training_again_at_the_same_rates_leads_to_the_same_parameters():
    first, epoch, held_out = _counting([3.0, 2.0, 2.0, 1.0, 2.0])
    rates = train(first, epoch, held_out, Schedule(epochs=5))
    again, epoch, _ = _counting([])
    retrain(again, epoch, rates)
    assert torch.equal(first.weight, again.weight)


def test_every_item_is_in_one_batch_of_an_epoch_and_few_items_in_several():
    many = list(batches(20_000, torch.Generator().manual_seed(0)))
    assert sorted(torch.cat(many).tolist()) == list(range(20_000))
    few = torch.cat(list(batches(10, torch.Generator().manual_seed(0))))
    assert few.bincount().tolist() == [30] * 10


def test_precision_and_gradients_are_whole_inside_and_as_before_outside():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            with full_precision("cpu"):
                assert torch.get_float32_matmul_precision() == "highest"
                product = torch.ones(2, 2, requires_grad=True) @ torch.ones(2, 2)
                assert product.dtype == torch.float32 and product.requires_grad
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
            assert not torch.is_grad_enabled()
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


def test_a_start_depends_on_its_seed_and_leaves_the_state_of_torch():
    state = torch.get_rng_state()
    first, same, other = (seeded(lambda: nn.Linear(3, 3), seed).weight for seed in (0, 0, 1))
    assert torch.equal(first, same) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_tensors_become_arrays():
    values = torch.tensor([1.5, 2.0], dtype=torch.bfloat16, requires_grad=True)
    np.testing.assert_array_equal(as_array(values), [1.5, 2.0])
    assert as_array(torch.tensor([1.0], dtype=torch.float64)).dtype == np.float64
    assert as_array([1, 2]) == [1, 2]
