"""What a trained classifier made of each text: states, attention, output."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...corpora import Example
from .training import TrainedClassifier


@dataclass(frozen=True)
class Instance:
    """One text as the classifier saw it."""

    states: Tensor
    """(word, width)."""
    attention: Tensor
    """(word,)."""
    probabilities: Tensor
    """(class,)."""

    @property
    def predicted(self) -> int:
        """The class with the highest probability."""
        return int(self.probabilities.argmax())


def read_instances(trained: TrainedClassifier, examples: Sequence[Example]) -> list[Instance]:
    """States, attention and output of every example."""
    network = trained.network
    instances = []
    with torch.no_grad():
        for _, (ids, lengths) in trained.batches(examples):
            states = network.encode(network.embedding(ids), lengths)
            attention = network.attend(states, lengths)
            outputs = network.decide(states, attention).softmax(-1)
            instances += [
                Instance(states[row, :length], attention[row, :length], outputs[row])
                for row, length in enumerate(lengths.tolist())
            ]
    return instances


def total_variation(first: Tensor, second: Tensor) -> Tensor:
    """½ Σ |p − q| over the last axis, from 0 to 1."""
    return (first - second).abs().sum(-1) / 2


def jensen_shannon(first: Tensor, second: Tensor) -> Tensor:
    """Jensen–Shannon divergence over the last axis, in nats: from 0 to ln 2."""
    middle = (first + second) / 2
    return (_entropy_terms(first, middle) + _entropy_terms(second, middle)).sum(-1) / 2


def _entropy_terms(own: Tensor, middle: Tensor) -> Tensor:
    # xlogy gives 0 where the weight is 0, with a gradient that stays finite.
    safe = middle.clamp(min=torch.finfo(middle.dtype).tiny)
    return torch.xlogy(own, own.clamp(min=torch.finfo(own.dtype).tiny)) - torch.xlogy(own, safe)
