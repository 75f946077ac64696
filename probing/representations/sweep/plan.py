"""The fits of one problem: its own labels, from several starts and samples, and every control."""

from dataclasses import dataclass

import numpy as np

from .options import ProbeOptions


@dataclass(frozen=True)
class Planned:
    """One fit."""

    labels: int
    """Row of the problem's labels: 0 the task's own, then the control draws."""
    seed: int
    sample: int | None = None
    """Seed of a bootstrap sample of the training units; None for the training part as it is."""


def plan_fits(options: ProbeOptions, *, convex: bool, spread: bool) -> list[Planned]:
    """The fits of a problem.

    Args:
        convex: whether the probe has one optimum, wherever it starts.
        spread: whether the training part is resampled too.
    """
    # One stream for each purpose: more of one leaves the others as they are.
    starts, samples = (np.random.SeedSequence(options.seed).spawn(2)[i] for i in range(2))
    others = [] if convex else starts.generate_state(options.seeds - 1).tolist()
    resamples = samples.generate_state(options.training_samples).tolist() if spread else []
    return [
        *(Planned(0, seed) for seed in [options.seed, *others]),
        *(Planned(0, options.seed, sample) for sample in resamples),
        *(Planned(draw, options.seed) for draw in range(1, options.control_draws + 1)),
    ]


def sample_weight(units: np.ndarray, seed: int) -> np.ndarray:
    """How often a bootstrap sample of the units has each item, shape (item,)."""
    present, unit = np.unique(units, return_inverse=True)
    generator = np.random.default_rng(seed)
    drawn = generator.integers(len(present), size=len(present))
    return np.bincount(drawn, minlength=len(present))[unit].astype(float)
