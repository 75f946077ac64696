"""One model with other attention for all texts (Wiegreffe & Pinter 2019, section 4)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ...corpora import Examples
from ..divergences import kullback_leibler, total_variation
from .instances import Instance
from .training import TrainedClassifier, train_classifier


def train_adversary(
    base: TrainedClassifier,
    train: Examples,
    evaluate: Examples,
    instances: Sequence[Instance],
    *,
    weight: float,
    encoder: str = "bilstm",
    attention: str = "additive",
    epochs: int = 8,
    seed: int = 0,
) -> TrainedClassifier:
    """Train a model to predict what the base predicts with attention far from the base's.

    The loss of a text is TVD(ŷ, ŷ_base) − λ KL(α ‖ α_base); the last epoch is kept.

    Args:
        instances: what the base made of the examples of `train`, in order.
        weight: λ.
    """
    outputs = torch.stack([instance.probabilities for instance in instances])

    def loss(numbers: np.ndarray, logits: Tensor, alpha: Tensor) -> Tensor:
        own = pad_sequence([instances[n].attention for n in numbers], batch_first=True)
        apart = total_variation(logits.softmax(-1), outputs[numbers]).mean()
        return apart - weight * kullback_leibler(alpha, own).mean()

    return train_classifier(
        train, evaluate=evaluate, encoder=encoder, attention=attention, epochs=epochs,
        seed=seed, start=base, loss=loss,
    )  # fmt: skip
