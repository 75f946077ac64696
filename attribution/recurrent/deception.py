"""Attention trained to look away from the words that matter (Pruthi et al. 2020, section 3)."""

from collections.abc import Collection, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence

from ...corpora import Example, Examples
from .instances import Instance
from .training import TrainedClassifier, train_classifier


def train_deceptive(
    base: TrainedClassifier,
    train: Examples,
    evaluate: Examples,
    impermissible: Collection[str],
    *,
    weight: float = 1.0,
    encoder: str = "bilstm",
    attention: str = "additive",
    epochs: int = 8,
    seed: int = 0,
) -> TrainedClassifier:
    """Train with the loss CE − λ ln(1 − attention on impermissible words); keeps the last epoch.

    Args:
        impermissible: lower-cased words that attention shall not be seen on.
        weight: λ.
    """
    classes = torch.tensor([base.labels.index(str(e.label)) for e in train.examples])
    masks = [torch.from_numpy(marked(e, impermissible)).float() for e in train.examples]

    def loss(numbers: np.ndarray, logits: Tensor, alpha: Tensor) -> Tensor:
        mass = (alpha * pad_sequence([masks[n] for n in numbers], batch_first=True)).sum(-1)
        hidden = torch.log((1 - mass).clamp(min=1e-6)).mean()
        return cross_entropy(logits, classes[numbers]) - weight * hidden

    return train_classifier(
        train, evaluate=evaluate, encoder=encoder, attention=attention, epochs=epochs,
        seed=seed, start=base, loss=loss,
    )  # fmt: skip


def marked(example: Example, words: Collection[str]) -> np.ndarray:
    """(word,) bool: which words of the example are among `words`, case ignored."""
    return np.array([word.lower() in words for word in example.sentence.words])


def impermissible_mass(
    examples: Sequence[Example], instances: Sequence[Instance], words: Collection[str]
) -> np.ndarray:
    """Attention on impermissible words in each text that has any; NaN elsewhere, (text,)."""
    masses = []
    for example, instance in zip(examples, instances, strict=True):
        inside = marked(example, words)
        masses.append(float(instance.attention.numpy()[inside].sum()) if inside.any() else np.nan)
    return np.array(masses)
