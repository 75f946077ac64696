"""nnsight with the reductions, each inside the trace, on the second output of self-attention."""

from collections.abc import Iterator

import nnsight
import torch
import transformers
from batches import DTYPES, Batch, read_batches, reduced, run_batches
from reductions import Tokens
from serving import Job, Result, Settings, serve
from torch import Tensor


def load(settings: Settings) -> Job:
    batches = read_batches(settings)
    model = transformers.AutoModel.from_pretrained(
        settings["model"], dtype=DTYPES[settings["dtype"]], attn_implementation="eager"
    )
    traced = nnsight.NNsight(model.to(settings["device"]).eval())

    def layers(batch: Batch, tokens: Tokens) -> Iterator[tuple[Tensor, Tensor]]:
        with traced.trace(**batch.inputs):
            found = nnsight.save([])
            for layer in traced.encoder.layer:
                found.append(reduced(layer.attention.self.output[1], tokens))
        return iter(found)

    def reductions() -> Result:
        with torch.inference_mode():
            return run_batches(batches, layers)

    return reductions


if __name__ == "__main__":
    serve(load, ("torch", "transformers", "nnsight"))
