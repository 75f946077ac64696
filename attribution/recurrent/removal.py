"""Does the decision flip when the most attended words are removed? (Serrano & Smith 2019)"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..divergences import jensen_shannon
from ..means import mean_over_units
from .instances import Instance
from .network import AttentionClassifier

ORDERS = ("attention", "gradient", "attention_x_gradient", "random")
#: Draws of the random order, averaged.
RANDOM_DRAWS = 5


def decision_flips(
    network: AttentionClassifier, instances: Sequence[Instance], *, seed: int
) -> pd.DataFrame:
    """One weight set to zero and the others renormalised, states held fixed (section 4).

    Returns:
        One row a text of two words or more: `flips_top` and `flips_random` (whether the decision
        changes without the most attended word, and without a random other one), `difference`
        (Jensen–Shannon divergence of the outputs without the one, less without the other; nats).
    """
    generator = np.random.default_rng(seed)
    rows = []
    with torch.no_grad():
        for instance in instances:
            words = len(instance.attention)
            if words < 2:
                continue
            top = int(instance.attention.argmax())
            other = int(generator.choice(np.delete(np.arange(words), top)))
            kept = torch.ones(2, words, dtype=torch.bool)
            kept[0, top] = kept[1, other] = False
            outputs = _without(network, instance, kept)
            flips = outputs.argmax(-1) != instance.predicted
            shift = jensen_shannon(outputs, instance.probabilities)
            rows.append((bool(flips[0]), bool(flips[1]), float(shift[0] - shift[1])))
    return pd.DataFrame(rows, columns=["flips_top", "flips_random", "difference"])


def removal_shares(
    network: AttentionClassifier,
    instances: Sequence[Instance],
    units: Sequence[int],
    *,
    seed: int,
) -> pd.DataFrame:
    """Share of the words that must go, in several orders, before the decision flips (section 5).

    Returns:
        `order,mean,ci_low,ci_high,n,never,descriptive`; texts whose decision never flips, with
        one word left, are not in the mean: `never` is their share. Orders are by descending
        weight: attention, gradient of the decision with respect to α, their product, random
        (the mean over five draws; `never` is then the share of draws).
    """
    generator = np.random.default_rng(seed)
    shares, never = np.full((2, len(instances), len(ORDERS)), np.nan)
    for number, instance in enumerate(instances):
        if len(instance.attention) < 2:
            continue
        slope = _gradient(network, instance)
        attention = instance.attention
        orders = {
            "attention": [attention.argsort(descending=True, stable=True)],
            "gradient": [slope.argsort(descending=True, stable=True)],
            "attention_x_gradient": [(attention * slope).argsort(descending=True, stable=True)],
            "random": [
                torch.from_numpy(generator.permutation(len(attention))) for _ in range(RANDOM_DRAWS)
            ],
        }
        flipping = {
            name: [_share(network, instance, order) for order in orders[name]] for name in ORDERS
        }
        never[number] = [np.mean(np.isnan(flipping[name])) for name in ORDERS]
        shares[number] = [mean_share(flipping[name]) for name in ORDERS]
    long_enough = np.array([len(instance.attention) >= 2 for instance in instances])
    means = mean_over_units(shares, units, seed)
    return pd.DataFrame({
        "order": list(ORDERS), "mean": means.mean, "ci_low": means.low, "ci_high": means.high,
        "n": means.n, "never": never[long_enough].mean(0),
        "descriptive": means.descriptive,
    })  # fmt: skip


def mean_share(shares: Sequence[float]) -> float:
    """Over the draws in which the decision flips; NaN where it never does."""
    flipped = [share for share in shares if not np.isnan(share)]
    return float(np.mean(flipped)) if flipped else np.nan


def _share(network: AttentionClassifier, instance: Instance, order: Tensor) -> float:
    """The share of the words removed as the decision flips; NaN where it never does."""
    words = len(order)
    rank = torch.empty(words, dtype=torch.long)
    rank[order] = torch.arange(words)
    # Row k removes the first k + 1 words of the order; one word is left at least.
    kept = rank >= torch.arange(1, words)[:, None]
    with torch.no_grad():
        flips = _without(network, instance, kept).argmax(-1) != instance.predicted
    return (int(flips.int().argmax()) + 1) / words if bool(flips.any()) else np.nan


def _without(network: AttentionClassifier, instance: Instance, kept: Tensor) -> Tensor:
    """Outputs (removal, class) with only the kept words attended to, (removal, word)."""
    weights = instance.attention * kept
    total = weights.sum(-1, keepdim=True)
    # Where all that is left had no weight, it is shared evenly.
    even = kept / kept.sum(-1, keepdim=True)
    weights = torch.where(total > 0, weights / total.clamp(min=1e-30), even)
    return network.decide(instance.states, weights).softmax(-1)


def _gradient(network: AttentionClassifier, instance: Instance) -> Tensor:
    """∂ probability of the predicted class / ∂ α, (word,)."""
    attention = instance.attention.clone().requires_grad_()
    output = network.decide(instance.states, attention).softmax(-1)
    return torch.autograd.grad(output[instance.predicted], attention)[0]
