"""Baselines: the embedding that stands for a missing word."""

from typing import Any

import torch
from torch import Tensor

from ...errors import AttributionError
from ..embeddings import word_embeddings

BASELINES = ("zero", "pad", "mask", "mean")


def baseline_embedding(model: Any, name: str) -> Tensor:
    """(width,): the vector in the place of every word embedding of a baseline.

    - `zero`: zeros;
    - `pad`, `mask`: the embedding of that token;
    - `mean`: the mean over the vocabulary.

    Raises:
        AttributionError: an unknown name, or the tokenizer lacks the token.
    """
    if name not in BASELINES:
        raise AttributionError(f"baseline is {name!r}; give one of {', '.join(BASELINES)}.")
    tokenizer = model.tokenizer
    token = {"pad": tokenizer.pad_token_id, "mask": tokenizer.mask_token_id}.get(name)
    if token is None and name in ("pad", "mask"):
        raise AttributionError(
            f"The tokenizer has no {name} token; take the baseline `zero` or `mean`."
        )
    words = word_embeddings(model.module)
    ids = torch.arange(words.num_embeddings) if token is None else torch.tensor([token])
    with torch.no_grad():
        mean: Tensor = words(ids.to(model.device)).mean(0)
    return torch.zeros_like(mean) if name == "zero" else mean
