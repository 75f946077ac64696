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
    starts = [options.seed] if convex else start_seeds(options)
    samples = _seeds(options, 1, options.training_samples) if spread else []
    return [
        *(Planned(0, seed) for seed in starts),
        *(Planned(0, options.seed, sample) for sample in samples),
        *(Planned(draw, options.seed) for draw in range(1, options.control_draws + 1)),
    ]


def start_seeds(options: ProbeOptions) -> list[int]:
    """The seeds of a probe that is not convex."""
    return [options.seed, *_seeds(options, 0, options.seeds - 1)]


def _seeds(options: ProbeOptions, stream: int, count: int) -> list[int]:
    """Seeds of one purpose: more of another leave them as they are."""
    return np.random.SeedSequence([options.seed, stream]).generate_state(count).tolist()


def sample_weight(units: np.ndarray, seed: int) -> np.ndarray:
    """How often a bootstrap sample of the units has each item, shape (item,)."""
    present, unit = np.unique(units, return_inverse=True)
    generator = np.random.default_rng(seed)
    drawn = generator.integers(len(present), size=len(present))
    return np.bincount(drawn, minlength=len(present))[unit].astype(float)
