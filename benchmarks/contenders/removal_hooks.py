"""What a user writes: a hook that zeroes the head's slice before the output projection.

One whole forward pass for each head, with the kernel that transformers chooses by itself.
"""

from typing import Any

import transformers
from removal import Inputs, one_by_one, read_inputs, run
from serving import Job, Settings, serve
from torch import Tensor


def load(settings: Settings) -> Job:
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        settings["model"], dtype="float32"
    )
    model = model.to(settings["device"]).eval()
    batches = read_inputs(settings)
    layers, heads = model.config.num_hidden_layers, model.config.num_attention_heads
    width = model.config.hidden_size // heads
    blocks = model.base_model.encoder.layer

    def without(inputs: Inputs, layer: int, head: int) -> Tensor:
        def zeroed(part: Any, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            output = given[0].clone()
            output[..., head * width : (head + 1) * width] = 0
            return (output, *given[1:])

        handle = blocks[layer].attention.output.dense.register_forward_pre_hook(zeroed)
        try:
            return model(**inputs).logits
        finally:
            handle.remove()

    return lambda: run(batches, one_by_one(layers, heads, without))


if __name__ == "__main__":
    serve(load, ("torch", "transformers"))
