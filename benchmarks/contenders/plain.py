"""Transformers alone: the bare forward pass, eager `output_attentions` with the reductions, and
all maps written to disk first and reduced when they are read back."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import transformers
from batches import DTYPES, Batch, read_batches, reduced, run_batches
from reductions import Tokens
from serving import Job, Result, Settings, serve
from torch import Tensor


def load(settings: Settings) -> Job:
    batches = read_batches(settings)
    eager = settings["contender"] != "bare"
    model = transformers.AutoModel.from_pretrained(
        settings["model"],
        dtype=DTYPES[settings["dtype"]],
        # The bare forward pass runs with the kernel transformers chooses by itself.
        attn_implementation="eager" if eager else None,
    )
    model = model.to(settings["device"]).eval()

    def bare() -> Result:
        with torch.inference_mode():
            for batch in batches:
                model(**batch.inputs)
        return Result()

    def layers(batch: Batch, tokens: Tokens) -> Iterator[tuple[Tensor, Tensor]]:
        attentions = model(**batch.inputs, output_attentions=True).attentions
        return (reduced(attention, tokens) for attention in attentions)

    def reductions() -> Result:
        with torch.inference_mode():
            return run_batches(batches, layers)

    def dumped() -> Result:
        with tempfile.TemporaryDirectory() as name, torch.inference_mode():
            paths = {id(batch): Path(name) / f"{i}.npy" for i, batch in enumerate(batches)}
            for batch in batches:
                maps = model(**batch.inputs, output_attentions=True).attentions
                np.save(paths[id(batch)], torch.stack(maps).cpu().numpy())

            def read(batch: Batch, tokens: Tokens) -> Iterator[tuple[Tensor, Tensor]]:
                for attention in np.load(paths[id(batch)]):
                    moved = torch.from_numpy(attention).to(settings["device"])
                    yield reduced(moved, tokens)

            return run_batches(batches, read)

    return {"bare": bare, "eager": reductions, "dump": dumped}[settings["contender"]]


if __name__ == "__main__":
    serve(load, ("torch", "transformers"))
