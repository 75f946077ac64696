"""Every head removed in turn: the job that the contenders of `ablation.py` share.

A contender says how a batch is run without a head; all use the same batches and give the logits of
the classifier. Needs torch alone.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from serving import Result, Settings
from torch import Tensor

Inputs = dict[str, Tensor]
#: Of a batch: the logits without each head, (layer, head, text, class).
Swept = Callable[[Inputs], np.ndarray]


def read_inputs(settings: Settings) -> list[Inputs]:
    """What the module is called with, batch by batch."""
    file = np.load(Path(settings["batches"]))
    return [
        {
            str(name): torch.from_numpy(file[f"{name}_{number}"]).to(settings["device"])
            for name in file["inputs"]
        }
        for number in range(int(file["count"]))
    ]


def one_by_one(layers: int, heads: int, without: Callable[[Inputs, int, int], Tensor]) -> Swept:
    """A whole forward pass for each head."""

    def swept(inputs: Inputs) -> np.ndarray:
        return np.stack([
            [without(inputs, layer, head).float().cpu().numpy() for head in range(heads)]
            for layer in range(layers)
        ])  # fmt: skip

    return swept


def run(batches: list[Inputs], swept: Swept) -> Result:
    """All batches: (text, layer, head, class)."""
    with torch.inference_mode():
        found = [np.moveaxis(swept(inputs), 2, 0) for inputs in batches]
    return Result(np.concatenate(found), [])
