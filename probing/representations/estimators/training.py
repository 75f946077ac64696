"""How the probes that torch trains are trained: one loop, seeded, stopped by held-out data."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

#: The loss has improved if it is smaller than the best one by this share of it.
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Schedule:
    """When the rate of Adam falls and when training ends; an epoch is a round of batches."""

    rate: float = 1e-3
    factor: float = 0.5
    """What the rate is multiplied by after an epoch that does not improve the held-out loss."""
    patience: int = 4
    """Training ends after so many epochs in a row without an improvement."""
    epochs: int = 40
    """It ends after so many epochs in any case."""


#: From a start, the losses of the batches of one epoch; each is asked for when it is needed.
Epoch = Callable[[], Iterator[Tensor]]


def train(
    module: nn.Module,
    epoch: Epoch,
    held_out: Callable[[], float],
    schedule: Schedule,
    decay: float = 0.0,
) -> tuple[float, ...]:
    """Train until the held-out loss no longer falls; the parameters of the best epoch are kept.

    Args:
        decay: λ of the penalty λ/2 · Σ w² on every parameter that is no vector.

    Returns:
        The rates of the epochs that the parameters have seen, for `retrain`.
    """
    optimizer = _adam(module, decay)
    rate, best, worse, seen = schedule.rate, math.inf, 0, 0
    rates: list[float] = []
    kept = deepcopy(module.state_dict())
    while len(rates) < schedule.epochs and worse < schedule.patience:
        _run(optimizer, epoch, rate)
        rates.append(rate)
        with torch.no_grad():
            loss = held_out()
        if loss < best * (1 - _TOLERANCE):
            best, worse, seen, kept = loss, 0, len(rates), deepcopy(module.state_dict())
        else:
            worse, rate = worse + 1, rate * schedule.factor
    module.load_state_dict(kept)
    return tuple(rates[:seen])


def retrain(module: nn.Module, epoch: Epoch, rates: Sequence[float], decay: float = 0.0) -> None:
    """Train for one epoch at each rate, where there is no held-out data to stop by."""
    optimizer = _adam(module, decay)
    for rate in rates:
        _run(optimizer, epoch, rate)


@contextmanager
def full_precision(device: str) -> Iterator[None]:
    """Products in float32 as they are, with gradients, whatever the caller has switched on."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.enable_grad(), torch.autocast(torch.device(device).type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """A module with initial parameters that depend on the seed alone; global state is kept."""
    before = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        return make()
    finally:
        torch.set_rng_state(before)


def as_array(values: Any) -> Any:
    """A tensor as an array, whatever its device and precision; anything else as it is."""
    if not isinstance(values, Tensor):
        return values
    plain = values.detach().cpu()
    # numpy has no bfloat16.
    return plain.float().numpy() if plain.dtype == torch.bfloat16 else plain.numpy()


def as_tensor(values: np.ndarray, device: str) -> Tensor:
    """An array in single precision on a device."""
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(device)


def batches(
    items: int, generator: torch.Generator, *, size: int = 256, least: int = 30
) -> Iterator[Tensor]:
    """The indices of an epoch's batches: all items at random, in rounds until there are `least`."""
    for _ in range(math.ceil(least / math.ceil(items / size))):
        yield from torch.randperm(items, generator=generator).split(size)


def _adam(module: nn.Module, decay: float) -> torch.optim.Optimizer:
    matrices = [p for p in module.parameters() if p.dim() > 1]
    vectors = [p for p in module.parameters() if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]
    # Fused: with small probes most of the time goes into starting operations.
    return torch.optim.Adam([group for group in groups if group["params"]], fused=True)


def _run(optimizer: torch.optim.Optimizer, epoch: Epoch, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
    for loss in epoch():
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
