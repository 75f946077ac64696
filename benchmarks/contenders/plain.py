"""Transformers alone: the bare forward pass, and eager `output_attentions` with the reductions."""

from collections.abc import Iterator

import torch
import transformers
from batches import DTYPES, Batch, read_batches, reduced, run_batches
from reductions import Tokens
from serving import Job, Result, Settings, serve
from torch import Tensor


def load(settings: Settings) -> Job:
    batches = read_batches(settings)
    eager = settings["contender"] == "eager"
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

    return reductions if eager else bare


if __name__ == "__main__":
    serve(load, ("torch", "transformers"))
