"""TransformerLens' loop: `run_with_hooks` with the head's `hook_z` at zero, a pass for each head.

Its BERT adapter wants the masked-language-model class. The head that this class has gets one
output, so that nobody pays for it; the logits are made of the last hidden state by the
checkpoint's own pooler and classifier.
"""

from typing import Any

import torch
import transformers
from removal import Inputs, one_by_one, read_inputs, run
from serving import Job, Settings, serve
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge


def load(settings: Settings) -> Job:
    classifier = transformers.AutoModelForSequenceClassification.from_pretrained(
        settings["model"], dtype=torch.float32
    ).eval()
    model = transformers.BertForMaskedLM.from_pretrained(
        settings["model"], dtype=torch.float32, attn_implementation="eager"
    )
    model.cls.predictions.decoder = torch.nn.Linear(model.config.hidden_size, 1)
    bridge = TransformerBridge.boot_transformers(
        settings["model"],
        hf_model=model.to(settings["device"]).eval(),
        tokenizer=transformers.AutoTokenizer.from_pretrained(settings["model"]),
        device=settings["device"],
        dtype=torch.float32,
    )
    classifier = classifier.to(settings["device"])
    batches = read_inputs(settings)
    layers, heads = bridge.cfg.n_layers, bridge.cfg.n_heads

    def without(inputs: Inputs, layer: int, head: int) -> Tensor:
        last: list[Tensor] = []

        def zeroed(z: Tensor, hook: Any) -> Tensor:
            split = z.unflatten(-1, (heads, -1)) if z.dim() == 3 else z
            split = split.clone()
            split[:, :, head] = 0
            return split.reshape(z.shape)

        def keep(state: Tensor, hook: Any) -> None:
            last.append(state)

        given = dict(inputs)
        bridge.run_with_hooks(
            given.pop("input_ids"),
            return_type=None,
            fwd_hooks=[
                (f"blocks.{layer}.attn.hook_z", zeroed),
                (f"blocks.{layers - 1}.hook_out", keep),
            ],
            **given,
        )
        return classifier.classifier(classifier.bert.pooler(last[-1]))

    return lambda: run(batches, one_by_one(layers, heads, without))


if __name__ == "__main__":
    serve(load, ("torch", "transformers", "transformer-lens"))
