"""What the decoder of an encoder-decoder model reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..corpora import Sentence
from ..errors import CaptureError


@dataclass(frozen=True)
class Target:
    """Tokens that a decoder reads: the start token, then those of a text."""

    ids: tuple[int, ...]
    tokens: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)


def read_target(text: str | Sentence | None, model: Any) -> Target:
    """The tokens a decoder reads of a text, or its start token alone.

    Raises:
        CaptureError: the configuration names no start token.
    """
    start = model.config.decoder_start_token_id
    if start is None:
        raise CaptureError(
            f"The configuration of {model.name} names no decoder_start_token_id, so nothing is "
            "known of what its decoder reads first."
        )
    ids = [start]
    if text is not None:
        plain = text if isinstance(text, str) else text.text
        own = model.tokenizer(text_target=plain, truncation=False)["input_ids"]
        ends = own and own[-1] == model.tokenizer.eos_token_id
        # The decoder predicts the end, it does not read it.
        ids += own[:-1] if ends else own
    return Target(tuple(ids), tuple(model.tokenizer.convert_ids_to_tokens(ids)))


def decoder_inputs(
    targets: Sequence[Target | None], inputs: dict[str, Tensor], model: Any
) -> dict[str, Tensor]:
    """What a model with a decoder is called with besides the text; nothing for any other."""
    read = [target for target in targets if target is not None]
    if not read:
        return {}
    width = max(map(len, read))
    pad = model.tokenizer.pad_token_id or 0
    ids = torch.full((len(read), width), pad, dtype=torch.long)
    for row, target in enumerate(read):
        ids[row, : len(target)] = torch.tensor(target.ids)
    # Padding stands on the right, where no token of a decoder looks.
    return {"decoder_input_ids": ids.to(inputs["input_ids"].device)}
