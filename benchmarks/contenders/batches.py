"""The batches that `prepare` wrote, and the loop over them that the plain contenders share."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from reductions import Tokens, describe, predictions, statistics
from serving import Result, Settings
from torch import Tensor

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Batch:
    """Token ids and what is known of the tokens; arrays as they come from the file."""

    texts: np.ndarray
    """(batch,), the place of each text in the corpus."""
    inputs: dict[str, Tensor]
    words: np.ndarray
    """(batch, token), -1 for special tokens and padding."""
    counts: np.ndarray
    """(batch,), the number of words of each text; 0 where there are no trees to predict."""
    columns: np.ndarray
    """(batch, token, 4)."""

    def tokens(self) -> Tokens:
        """What the reductions need; part of the work that is timed."""
        mask = self.inputs["attention_mask"]
        lengths = mask.sum(1, keepdim=True).expand_as(mask)
        columns = torch.from_numpy(self.columns).to(mask.device)
        words = torch.from_numpy(self.words).to(mask.device) if self.counts.any() else None
        return describe(mask, lengths, columns, words)


def read_batches(settings: Settings) -> list[Batch]:
    """All batches of the job, their inputs on the device."""
    file = np.load(Path(settings["batches"]))

    def inputs(number: int) -> dict[str, Tensor]:
        names = [str(name) for name in file["inputs"]]
        return {
            name: torch.from_numpy(file[f"{name}_{number}"]).to(settings["device"])
            for name in names
        }

    return [
        Batch(
            texts=file[f"texts_{i}"],
            inputs=inputs(i),
            words=file[f"words_{i}"],
            counts=file[f"counts_{i}"],
            columns=file[f"columns_{i}"],
        )
        for i in range(int(file["count"]))
    ]


#: Runs the model over a batch and gives statistics and predictions of every layer in turn.
Layers = Callable[[Batch, Tokens], Iterator[tuple[Tensor, Tensor]]]


def reduced(attention: Tensor, tokens: Tokens) -> tuple[Tensor, Tensor]:
    """What is kept of the attention (batch, head, query, key) of one layer."""
    return statistics(attention, tokens), predictions(attention, tokens)


def run_batches(batches: list[Batch], layers: Layers) -> Result:
    """Statistics and predictions of every text, in the order of the corpus."""
    count = sum(len(batch.texts) for batch in batches)
    numbers: list[np.ndarray] = [np.zeros(0)] * count
    answers: list[np.ndarray] = [np.zeros(0)] * count
    for batch in batches:
        found = list(layers(batch, batch.tokens()))
        means = torch.stack([one for one, _ in found], dim=1).cpu().numpy()
        heads = torch.stack([one for _, one in found], dim=1).cpu().numpy()
        for row, text in enumerate(batch.texts):
            numbers[text] = means[row]
            answers[text] = heads[row, ..., : batch.counts[row]]
    return Result(np.stack(numbers), answers)
