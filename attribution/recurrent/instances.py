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
