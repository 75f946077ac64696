"""Is there other attention with the same output? A search for each text.

Jain & Wallace 2019, section 4.2.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from tqdm.auto import tqdm

from ..divergences import jensen_shannon, total_variation
from ..means import mean_over_units
from .instances import Instance
from .network import AttentionClassifier

EPSILONS = (0.005, 0.01, 0.02, 0.05, 0.1)
#: Candidates a text, steps and weight of the penalty.
CANDIDATES, STEPS, PENALTY = 5, 500, 500.0
RATE, SPREAD, BATCH = 0.01, 3.0, 256


@dataclass(frozen=True)
class Alternative:
    """The attention farthest from the observed one that leaves the output within ε."""

    attention: np.ndarray
    """(word,)."""
    jsd: float
    """From the observed attention, in nats; 0 where nothing else was found."""
    tvd: float
    """Total variation of the output."""


def adversarial_search(
    network: AttentionClassifier,
    instances: Sequence[Instance],
    *,
    epsilon: float,
    seed: int,
    steps: int = STEPS,
) -> list[Alternative]:
    """For each text, α far from the observed one, and from each other, with the same output.

    Maximises Σ JSD(α_i, α̂) + Σ_{i<j} JSD(α_i, α_j) / (k(k−1)) less a penalty on total variation
    beyond ε, by Adam on the logits of k candidates, states held fixed. The observed attention is
    one of the candidates, so that a failed search gives 0.
    """
    generator = torch.Generator().manual_seed(seed)
    found: list[Alternative] = []
    with tqdm(total=len(instances), desc=f"search (ε = {epsilon})", dynamic_ncols=True) as bar:
        for start in range(0, len(instances), BATCH):
            part = instances[start : start + BATCH]
            found += _search(network, part, epsilon, generator, steps)
            bar.update(len(part))
    return found


def epsilon_curve(
    network: AttentionClassifier,
    instances: Sequence[Instance],
    units: Sequence[int],
    *,
    seed: int,
    epsilons: Sequence[float] = EPSILONS,
    steps: int = STEPS,
) -> tuple[pd.DataFrame, dict[float, list[Alternative]]]:
    """The mean of the largest JSD that the search finds, for several ε.

    Returns:
        `epsilon,mean,ci_low,ci_high,n,descriptive` (JSD in nats, at most ln 2 = .693), and the
        alternatives for each ε.
    """
    found = {
        epsilon: adversarial_search(network, instances, epsilon=epsilon, seed=seed, steps=steps)
        for epsilon in epsilons
    }
    values = np.array([[own.jsd for own in found[epsilon]] for epsilon in epsilons]).T
    means = mean_over_units(values, units, seed)
    table = pd.DataFrame({
        "epsilon": list(epsilons), "mean": means.mean, "ci_low": means.low,
        "ci_high": means.high, "n": means.n, "descriptive": means.descriptive,
    })  # fmt: skip
    return table, found


def _search(
    network: AttentionClassifier,
    instances: Sequence[Instance],
    epsilon: float,
    generator: torch.Generator,
    steps: int,
) -> list[Alternative]:
    states = pad_sequence([own.states for own in instances], batch_first=True)[:, None]
    observed = pad_sequence([own.attention for own in instances], batch_first=True)[:, None]
    outputs = torch.stack([own.probabilities for own in instances])[:, None]
    lengths = torch.tensor([len(own.attention) for own in instances])
    inside = (torch.arange(states.shape[2]) < lengths[:, None])[:, None]
    shape = (len(instances), CANDIDATES, states.shape[2])
    logits = (SPREAD * torch.randn(shape, generator=generator)).requires_grad_()
    optimiser = torch.optim.Adam([logits], lr=RATE, amsgrad=True)
    # What the search passes through counts as found: the last step is not always the best.
    best, farthest, shift = (
        observed.expand(shape).clone(),
        torch.zeros(shape[:2]),
        torch.zeros(shape[:2]),
    )
    for _ in range(steps):
        candidates = logits.masked_fill(~inside, -torch.inf).softmax(-1)
        jsd = jensen_shannon(candidates, observed)
        tvd = total_variation(network.decide(states, candidates).softmax(-1), outputs)
        with torch.no_grad():
            better = (tvd <= epsilon) & (jsd > farthest)
            best = torch.where(better[..., None], candidates, best)
            farthest, shift = torch.where(better, jsd, farthest), torch.where(better, tvd, shift)
        spread = jsd.sum() + _between(candidates) / (CANDIDATES * (CANDIDATES - 1))
        excess = (tvd - epsilon).clamp(min=0).sum()
        optimiser.zero_grad()
        (PENALTY / CANDIDATES * excess - spread).backward()
        optimiser.step()
    chosen = farthest.argmax(1)
    return [
        Alternative(
            best[row, place, :length].detach().numpy(),
            farthest[row, place].item(),
            shift[row, place].item(),
        )
        for row, (place, length) in enumerate(zip(chosen.tolist(), lengths.tolist(), strict=True))
    ]


def _between(candidates: Tensor) -> Tensor:
    first, second = torch.triu_indices(CANDIDATES, CANDIDATES, offset=1)
    return jensen_shannon(candidates[:, first], candidates[:, second]).sum()
