"""A BERT block taken apart by the names of its parts, one vector at a time."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import torch

from bertology.capture import capture

BLOCK = "bert.encoder.layer.{}."


def terms_by_name(
    case: SimpleNamespace, looked_at: Callable[..., dict], layer: int
) -> dict[str, np.ndarray]:
    """T_ij of a block of the first text, in double precision, after each of its steps."""
    encoding = case.encodings[0]
    parts = ("attention.self.value", "attention.output.LayerNorm", "output.LayerNorm")
    names = [BLOCK.format(layer) + part for part in parts]
    seen = looked_at(case.model, encoding, names)
    (read, values), (mixed, normed), (added, _) = (
        tuple(t.double() for t in seen[name][0]) for name in names
    )
    (captured,) = capture(case.model, [encoding.sentence])
    attention = captured.attention[layer]
    block = case.module.bert.encoder.layer[layer]
    output = block.attention.output.dense.weight.detach().double().T
    tokens = len(read)
    residual = torch.zeros(tokens, tokens, 32, dtype=torch.double)
    for i in range(tokens):
        for j in range(tokens):
            for h in range(4):
                own = slice(8 * h, 8 * h + 8)
                residual[i, j] += float(attention[h, i, j]) * values[j, own] @ output[own]
            if i == j:
                residual[i, j] += read[i]

    def scaled(vectors: torch.Tensor, total: torch.Tensor, norm: torch.nn.Module) -> torch.Tensor:
        result = torch.zeros_like(vectors)
        for i in range(tokens):
            deviation = torch.sqrt(total[i].var(unbiased=False) + norm.eps)
            for j in range(tokens):
                centred = vectors[i, j] - vectors[i, j].mean()
                result[i, j] = centred / deviation * norm.weight.detach().double()
        return result

    norm = scaled(residual, mixed, block.attention.output.LayerNorm)
    whole = scaled(norm, added, block.output.LayerNorm)
    named = {"residual": residual, "norm": norm, "block": whole, "normed": normed, "read": read}
    return {name: tensor.numpy() for name, tensor in named.items()} | {"attention": attention}
