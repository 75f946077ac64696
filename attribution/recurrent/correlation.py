"""Does attention rank words as importance does? (Jain & Wallace 2019, section 4.1)"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from scipy.stats import kendalltau

from ...corpora import Example
from ..divergences import total_variation
from ..means import mean_over_units
from .instances import Instance
from .training import TrainedClassifier, collate

PAIRS = (("attention", "gradient"), ("attention", "leave_one_out"), ("gradient", "leave_one_out"))


def correlation(
    trained: TrainedClassifier,
    examples: Sequence[Example],
    instances: Sequence[Instance],
    units: Sequence[int],
    *,
    seed: int,
) -> pd.DataFrame:
    """Kendall's τ-b between attention and two importance measures, by predicted class.

    Gradients are |x_t · ∂p/∂x_t| with attention detached, p being the probability of the
    predicted class; leave-one-out is the total variation of the output when the word is deleted.
    The row of gradient against leave-one-out is what the others are to be read against.
    `significant` is the share of texts with p ≤ .05, uncorrected, as in the paper: it grows with
    the length of the texts (|τ| .49 is needed at 10 words, .13 at 100) and must never be compared
    between data sets. Texts of one word, and constant scores, are left out.

    Returns:
        `predicted,score,against,mean,ci_low,ci_high,sd,significant,n,descriptive`;
        `predicted` is a label or `all`.
    """
    gradient = gradients(trained, examples, instances)
    deletion = leave_one_out(trained, examples, instances)
    by_name = {
        "attention": [instance.attention.numpy() for instance in instances],
        "gradient": gradient,
        "leave_one_out": deletion,
    }
    found = np.array([
        [_tau(by_name[one][n], by_name[other][n]) for one, other in PAIRS]
        for n in range(len(instances))
    ])  # fmt: skip
    predicted = np.array([instance.predicted for instance in instances])
    groups = [("all", np.ones(len(predicted), bool))]
    groups += [(label, predicted == k) for k, label in enumerate(trained.labels)]
    parts = [
        _rows(name, found[inside], np.asarray(units)[inside], seed)
        for name, inside in groups
        if inside.any()
    ]
    return pd.concat(parts, ignore_index=True)


def gradients(
    trained: TrainedClassifier, examples: Sequence[Example], instances: Sequence[Instance]
) -> list[np.ndarray]:
    """|x_t · ∂p/∂x_t| of every word with attention held fixed, for each text (word,)."""
    network, found = trained.network, []
    for numbers, (ids, lengths) in trained.batches(examples):
        embedded = network.embedding(ids).requires_grad_()
        states = network.encode(embedded, lengths)
        output = network.decide(states, network.attend(states, lengths).detach()).softmax(-1)
        classes = torch.tensor([instances[n].predicted for n in numbers])
        chosen = output.gather(1, classes[:, None]).sum()
        (slope,) = torch.autograd.grad(chosen, embedded)
        products = (embedded * slope).sum(-1).abs().detach().numpy()
        found += [row[:length] for row, length in zip(products, lengths.tolist(), strict=True)]
    return found


def leave_one_out(
    trained: TrainedClassifier, examples: Sequence[Example], instances: Sequence[Instance]
) -> list[np.ndarray]:
    """Total variation of the output when each word is deleted, for each text (word,)."""
    found = []
    with torch.no_grad():
        for example, instance in zip(examples, instances, strict=True):
            ids = trained.vocabulary.ids(example.sentence)
            if len(ids) < 2:
                found.append(np.zeros(len(ids)))
                continue
            shorter = [torch.cat([ids[:t], ids[t + 1 :]]) for t in range(len(ids))]
            outputs = trained.network(*collate(shorter))[0].softmax(-1)
            found.append(total_variation(outputs, instance.probabilities).numpy())
    return found


def _tau(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    if len(first) < 2:
        return np.nan, np.nan
    result = kendalltau(first, second)
    return float(result.statistic), float(result.pvalue)


def _rows(name: str, found: np.ndarray, units: np.ndarray, seed: int) -> pd.DataFrame:
    taus, p_values = found[..., 0], found[..., 1]
    means = mean_over_units(taus, units.tolist(), seed)
    known = ~np.isnan(taus)
    return pd.DataFrame({
        "predicted": name,
        "score": [one for one, _ in PAIRS],
        "against": [other for _, other in PAIRS],
        "mean": means.mean,
        "ci_low": means.low,
        "ci_high": means.high,
        "sd": np.sqrt(_mean(known, (taus - means.mean) ** 2)),
        "significant": _mean(known, p_values <= 0.05),
        "n": means.n,
        "descriptive": means.descriptive,
    })  # fmt: skip


def _mean(known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Mean of the known values of each column, NaN where there is none."""
    counts = known.sum(0)
    return np.where(counts > 0, np.where(known, values, 0.0).sum(0) / np.maximum(counts, 1), np.nan)
