"""One model that decides alike with other attention (Wiegreffe & Pinter 2019, section 4).

A search finds other attention for one text at a time; here a whole model is trained to attend
elsewhere, and set beside models that differ by their seed alone.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ...corpora import Examples
from ...corpora.text import units_of
from ...models import LoadedModel, fine_tune
from ..divergences import kullback_leibler, total_variation
from ..means import mean_over_units
from ..naming import class_index
from ..targets import prepare
from .comparison import Apart, check_classifier, compare_models, seen
from .reading import mean_over_rows

#: λ: how much the divergence of attention counts against total variation of the output.
WEIGHTS = (0.1, 1.0, 10.0)
METRICS = ("accuracy", "agreement", "total_variation", "jsd", "read_jsd")
#: Standard deviation of the noise on the weights that training starts from, in units of that of
#: each tensor.
_NOISE = 0.01


def train_adversary(
    base: LoadedModel,
    train: Examples,
    *,
    weight: float,
    epochs: int = 3,
    learning_rate: float = 5e-5,
    batch_size: int = 16,
    seed: int = 0,
) -> LoadedModel:
    """Train a copy of a classifier to predict what it predicts, attending elsewhere.

    The loss of a text is TVD(ŷ, ŷ_base) − λ KL(α ‖ α_base), KL being the mean over layers, heads
    and rows; labels are not used. The weights start at the base's plus a little noise, for there
    the gradient of the loss is zero. The last step is kept.

    Args:
        weight: λ.

    Raises:
        AttributionError: the base is no classifier whose classes exclude each other.
        CorpusError: the base predicts one class on all examples.
    """
    check_classifier(base)
    prepared = prepare(base, train.examples)
    decided = tuple(
        replace(train.examples[number], label=base.labels[int(goal.index or 0)])
        for number, goal in zip(prepared.kept, prepared.goals, strict=True)
    )
    # As one epoch, so that none is chosen: the first would be, which has moved least.
    passes = Examples(train.name, decided * epochs, train.sha256)
    held_out = passes.first(batch_size)
    tuned = fine_tune(
        replace(base, module=_shaken(base.module, seed)), passes, held_out, epochs=1,
        learning_rate=learning_rate, batch_size=batch_size, seed=seed,
        extra_loss=_adversarial(base, weight),
    )  # fmt: skip
    return replace(tuned.model, name=f"{base.name}, adversary (λ = {weight:g})")


def consistent_adversaries(
    base: LoadedModel,
    train: Examples,
    evaluate: Examples,
    *,
    weights: Sequence[float] = WEIGHTS,
    others: Sequence[LoadedModel] = (),
    epochs: int = 3,
    learning_rate: float = 5e-5,
    batch_size: int = 16,
    seed: int = 0,
) -> pd.DataFrame:
    """An adversary for each λ, set beside models of other seeds.

    Args:
        evaluate: what all are measured on; labels are needed for the accuracy alone.
        weights: λ, one adversary each.
        others: models fine-tuned as the base was, with other seeds (`fine_tune(…, seed=…)`).

    Returns:
        `model,weight,metric,mean,ci_low,ci_high,n,difference,difference_low,difference_high,
        descriptive`: a row per model (`base`, `seed`: median over the models of other seeds,
        `adversary`), λ and metric: accuracy, agreement with the base's decisions, total variation
        of the output, Jensen–Shannon divergence of attention (nats) from the base, and of the
        attention that is read. `difference` is from the other seeds, paired; empty without any.

    Raises:
        AttributionError: see `train_adversary` and `compare_models`.
    """
    check_classifier(base)
    prepared = prepare(base, evaluate.examples)
    examples = [evaluate.examples[number] for number in prepared.kept]
    units = units_of([example.sentence for example in examples], evaluate.unit)
    labels = np.array([
        np.nan if example.label is None else class_index(example.label, base.labels)
        for example in examples
    ])  # fmt: skip
    own = compare_models(base, base, prepared)
    seeds = [_metrics(compare_models(base, other, prepared), own, labels) for other in others]
    variance = np.median(seeds, axis=0) if seeds else None
    parts = [_rows("base", None, _metrics(own, own, labels), variance, units, seed)]
    if variance is not None:
        parts.append(_rows("seed", None, variance, variance, units, seed))
    for weight in weights:
        adversary = train_adversary(
            base, train, weight=weight, epochs=epochs, learning_rate=learning_rate,
            batch_size=batch_size, seed=seed,
        )  # fmt: skip
        values = _metrics(compare_models(base, adversary, prepared), own, labels)
        parts.append(_rows("adversary", weight, values, variance, units, seed))
    return pd.concat(parts, ignore_index=True).dropna(subset=["mean"]).reset_index(drop=True)


def _metrics(apart: Apart, base: Apart, labels: np.ndarray) -> np.ndarray:
    """(text, metric); NaN where a text has no label."""
    right = np.where(np.isnan(labels), np.nan, apart.predicted == labels)
    agrees = (apart.predicted == base.predicted).astype(float)
    return np.stack([right, agrees, apart.total_variation, apart.jsd, apart.read_jsd], 1)


def _rows(
    model: str,
    weight: float | None,
    values: np.ndarray,
    variance: np.ndarray | None,
    units: Sequence[int],
    seed: int,
) -> pd.DataFrame:
    means = mean_over_units(values, units, seed)
    over = np.full_like(values, np.nan) if variance is None else values - variance
    against = mean_over_units(over, units, seed)
    return pd.DataFrame({
        "model": model, "weight": np.nan if weight is None else weight, "metric": list(METRICS),
        "mean": means.mean, "ci_low": means.low, "ci_high": means.high, "n": means.n,
        "difference": against.mean, "difference_low": against.low, "difference_high": against.high,
        "descriptive": means.descriptive,
    })  # fmt: skip


def _adversarial(base: LoadedModel, weight: float) -> Callable[..., Tensor]:
    """The loss of the adversary, to be added to the cross-entropy with the base's decisions."""

    def loss(model: LoadedModel, inputs: dict[str, Tensor], outputs: Any) -> Tensor:
        with torch.no_grad():
            given, own = seen(base.module, inputs)
        _, others = seen(model.module, inputs)
        real = inputs["attention_mask"].bool()[:, None, :, None]
        apart = mean_over_rows(
            [
                kullback_leibler(one.where(real, 1.0), two.where(real, 1.0))
                for one, two in zip(others, own, strict=True)
            ],
            inputs["attention_mask"],
        )
        moved = total_variation(outputs.logits.softmax(1), given.softmax(1))
        # The loop minimises cross-entropy too, which is no part of this loss.
        return (moved - weight * apart).mean() - cross_entropy(outputs.logits, given.argmax(1))

    return loss


def _shaken(module: Any, seed: int) -> Any:
    shaken = copy.deepcopy(module)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in shaken.parameters():
            if parameter.dim() > 1:
                noise = torch.randn(parameter.shape, generator=generator).to(parameter)
                parameter += _NOISE * parameter.std() * noise
    return shaken
