"""TransformerLens with the reductions, each inside a hook on the attention pattern.

Its BERT adapter wants the masked-language-model class, which the demo has no head for. The head
it gets has one output instead of the vocabulary: nobody should pay for it here.
"""

from collections.abc import Iterator
from typing import Any

import torch
import transformers
from batches import DTYPES, Batch, read_batches, reduced, run_batches
from reductions import Tokens
from serving import Job, Result, Settings, serve
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge


def load(settings: Settings) -> Job:
    batches = read_batches(settings)
    model = transformers.BertForMaskedLM.from_pretrained(
        settings["model"], dtype=DTYPES[settings["dtype"]], attn_implementation="eager"
    )
    width = model.config.hidden_size
    model.cls.predictions.decoder = torch.nn.Linear(width, 1, dtype=DTYPES[settings["dtype"]])
    bridge = TransformerBridge.boot_transformers(
        settings["model"],
        hf_model=model.to(settings["device"]).eval(),
        tokenizer=transformers.AutoTokenizer.from_pretrained(settings["model"]),
        device=settings["device"],
        dtype=DTYPES[settings["dtype"]],
    )
    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(bridge.cfg.n_layers)]

    def layers(batch: Batch, tokens: Tokens) -> Iterator[tuple[Tensor, Tensor]]:
        found: list[tuple[Tensor, Tensor]] = []

        def keep(pattern: Tensor, hook: Any) -> None:
            found.append(reduced(pattern, tokens))

        inputs = dict(batch.inputs)
        bridge.run_with_hooks(
            inputs.pop("input_ids"),
            return_type=None,
            fwd_hooks=[(name, keep) for name in names],
            **inputs,
        )
        return iter(found)

    def reductions() -> Result:
        with torch.inference_mode():
            return run_batches(batches, layers)

    return reductions


if __name__ == "__main__":
    serve(load, ("torch", "transformers", "transformer-lens"))
