"""A model with its tokenizer and where both come from."""

from dataclasses import dataclass
from typing import Any

import torch

from .devices import input_device
from .positions import max_positions
from .pruned import removed


@dataclass(frozen=True)
class LoadedModel:
    """A model in eval mode with its tokenizer and where both come from."""

    name: str
    module: Any
    tokenizer: Any
    task: str
    revision: str | None = None
    """The commit, of a model from the hub."""
    weights_sha256: str | None = None
    gguf_file: str | None = None
    adapter: str | None = None
    """The adapter that is merged into the weights."""
    adapter_sha256: str | None = None
    dtype: str | None = None
    """The type of the weights, unless it is float32."""

    @property
    def config(self) -> Any:
        return self.module.config

    @property
    def reader(self) -> Any:
        """The module that reads a text: the encoder, where a decoder follows it."""
        two = getattr(self.config, "is_encoder_decoder", False)
        return self.module.get_encoder() if two else self.module

    @property
    def device(self) -> torch.device:
        """Where inputs go; of a model spread over devices, where its embeddings are computed."""
        return input_device(self.module)

    @property
    def max_tokens(self) -> int | None:
        """Longest input in tokens, specials included; None where nothing limits it."""
        return max_positions(self.module)

    @property
    def variant(self) -> dict[str, str]:
        """What was done to the weights, beyond reading them in float32."""
        parts = {
            "gguf_file": self.gguf_file,
            "adapter": self.adapter,
            "adapter_sha256": self.adapter_sha256,
            "dtype": self.dtype,
            "pruned": removed(getattr(self.module, "config", None)),
        }
        return {name: part for name, part in parts.items() if part is not None}

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, in order of their logits; empty unless a classifier."""
        if self.task != "classification":
            return ()
        names = self.config.id2label
        return tuple(str(names[i]) for i in range(len(names)))
