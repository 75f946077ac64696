"""One model that decides alike with other attention (Wiegreffe & Pinter 2019, section 4).

A search finds other attention for one text at a time; here a whole model is trained to attend
elsewhere, and set beside models that differ by their seed alone.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ...capture import Batch
from ...corpora import Examples
from ...corpora.text import units_of
from ...errors import AttributionError
from ...models import LoadedModel, fine_tune
from ..divergences import jensen_shannon, kullback_leibler, total_variation
from ..goals import Goal, is_multi_label
from ..means import mean_over_units
from ..naming import class_index
from ..running import stream_with
from ..targets import Prepared, prepare
from .maps import run_with_maps
from .reading import map_divergence, mean_over_rows, read_attention, read_rows

#: λ: how much the divergence of attention counts against total variation of the output.
WEIGHTS = (0.1, 1.0, 10.0)
METRICS = ("accuracy", "agreement", "total_variation", "jsd", "read_jsd")
#: Standard deviation of the noise on the weights that training starts from, in units of that of
#: each tensor.
_NOISE = 0.01


@dataclass(frozen=True)
class Apart:
    """How far a model is from the base, text by text: arrays (text,)."""

    predicted: np.ndarray
    """The class that the model predicts."""
    total_variation: np.ndarray
    """Of the outputs."""
    jsd: np.ndarray
    """Jensen–Shannon divergence of attention in nats, mean over layers, heads and rows."""
    read_jsd: np.ndarray
    """The same of what people read: the goal's rows, averaged over all heads."""


def compare_models(base: LoadedModel, other: LoadedModel, prepared: Prepared) -> Apart:
    """How far `other` is from `base` on the examples that were prepared for the base.

    Raises:
        AttributionError: a model is no classifier, or they differ in classes or heads.
    """
    _check_classifier(base)
    if other.task != base.task or other.labels != base.labels:
        raise AttributionError(
            f"{other.name} has the classes {list(other.labels)} and {base.name} "
            f"{list(base.labels)}; compare classifiers with the same classes."
        )

    def run(batch: Batch, goals: list[Goal]) -> list[tuple[float, ...]]:
        with torch.no_grad():
            given, own = _seen(base.module, batch.inputs)
            moved, others = _seen(other.module, batch.inputs)
        if [one.shape for one in own] != [one.shape for one in others]:
            raise AttributionError(
                f"{other.name} has other layers or heads than {base.name}; compare models that "
                "were fine-tuned from one."
            )
        rows = read_rows(batch, goals)
        read = jensen_shannon(read_attention(own, rows), read_attention(others, rows))
        apart = (
            moved.argmax(1).float(),
            total_variation(given.softmax(1), moved.softmax(1)),
            map_divergence(own, others, batch.mask),
            read,
        )
        return [tuple(row) for row in torch.stack(apart, 1).tolist()]

    found = stream_with(
        base, prepared.encodings, prepared.goals, run, description="comparing models"
    )
    return Apart(*np.array(found).T)


def seed_variance(
    base: LoadedModel, others: Sequence[LoadedModel], prepared: Prepared
) -> tuple[np.ndarray, np.ndarray]:
    """Median over models of other seeds of `jsd` and of `read_jsd` from the base, (text,) each."""
    apart = [compare_models(base, other, prepared) for other in others]
    return (
        np.median([own.jsd for own in apart], axis=0),
        np.median([own.read_jsd for own in apart], axis=0),
    )


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
    _check_classifier(base)
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
    _check_classifier(base)
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
            given, own = _seen(base.module, inputs)
        _, others = _seen(model.module, inputs)
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


def _seen(module: Any, inputs: dict[str, Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Logits (batch, class), and for each layer attention (batch, head, query, key)."""
    outputs, maps = run_with_maps(module, inputs)
    return outputs.logits.float(), [maps[layer].float() for layer in sorted(maps)]


def _shaken(module: Any, seed: int) -> Any:
    shaken = copy.deepcopy(module)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in shaken.parameters():
            if parameter.dim() > 1:
                noise = torch.randn(parameter.shape, generator=generator).to(parameter)
                parameter += _NOISE * parameter.std() * noise
    return shaken


def _check_classifier(model: LoadedModel) -> None:
    if model.task != "classification" or len(model.labels) < 2 or is_multi_label(model):
        raise AttributionError(
            f"{model.name} is no classifier whose classes exclude each other; adversaries are "
            "trained for those."
        )
