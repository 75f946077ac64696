"""How far two classifiers are from each other on the same texts: decisions, output, attention."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...capture import Batch
from ...errors import AttributionError
from ...models import LoadedModel
from ..divergences import jensen_shannon, total_variation
from ..goals import Goal, is_multi_label
from ..running import stream_with
from ..targets import Prepared
from .maps import run_with_maps
from .reading import map_divergence, read_attention, read_rows


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
    check_classifier(base)
    if other.task != base.task or other.labels != base.labels:
        raise AttributionError(
            f"{other.name} has the classes {list(other.labels)} and {base.name} "
            f"{list(base.labels)}; compare classifiers with the same classes."
        )

    def run(batch: Batch, goals: list[Goal]) -> list[tuple[float, ...]]:
        with torch.no_grad():
            given, own = seen(base.module, batch.inputs)
            moved, others = seen(other.module, batch.inputs)
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


def seen(module: Any, inputs: dict[str, Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Logits (batch, class), and for each layer attention (batch, head, query, key)."""
    outputs, maps = run_with_maps(module, inputs)
    return outputs.logits.float(), [maps[layer].float() for layer in sorted(maps)]


def check_classifier(model: LoadedModel) -> None:
    """Refuse, before any work, a model whose output is no distribution over classes.

    Raises:
        AttributionError: it is no classifier, or its classes do not exclude each other.
    """
    if model.task != "classification" or len(model.labels) < 2 or is_multi_label(model):
        raise AttributionError(
            f"{model.name} is no classifier whose classes exclude each other; adversaries are "
            "trained for those."
        )
