"""Norms of what attention carries, beside values and projections taken by name."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from bertology.attribution.from_attention import attention_norms, norm_maps
from bertology.capture import capture
from bertology.errors import CaptureError


def maps_of(weight: Tensor, columns: bool) -> Tensor:
    """(in, out)."""
    return weight.detach() if columns else weight.detach().T


#: Of a layer: its value map, its output map, which part of the first's output is values, whether
#: the weights are (in, out).
NAMES = {
    "bert": (
        "bert.encoder.layer.{}.attention.self.value",
        "bert.encoder.layer.{}.attention.output.dense",
        slice(None), False,
    ),
    "gpt2": ("transformer.h.{}.attn.c_attn", "transformer.h.{}.attn.c_proj", slice(64, 96), True),
    "llama": (
        "model.layers.{}.self_attn.v_proj", "model.layers.{}.self_attn.o_proj", slice(None), False,
    ),
}  # fmt: skip
CASES = [("bert", "classification"), ("gpt2", "causal-lm"), ("llama", "classification")]


@pytest.mark.parametrize(("family", "task"), CASES)
def test_norms_are_those_of_vectors_that_sum_to_the_attention_output(
    ready: Callable[..., SimpleNamespace], looked_at: Callable[..., dict], family: str, task: str
) -> None:
    case = ready(family, task)
    value, output, part, columns = NAMES[family]
    encoding = case.encodings[0]
    (own,) = norm_maps(case.model, [encoding])
    (captured,) = capture(case.model, [encoding.sentence])
    for layer in range(3):
        names = [value.format(layer), output.format(layer)]
        seen = looked_at(case.model, encoding, names)
        values = seen[names[0]][0][1][:, part].unflatten(1, (-1, 8))
        values = values.repeat_interleave(4 // values.shape[1], 1)
        projection = case.module.get_submodule(names[1])
        weight = maps_of(projection.weight, columns).unflatten(0, (4, 8))
        attention = torch.from_numpy(captured.attention[layer])
        # (head, query, key, hidden), one by one.
        vectors = torch.stack([
            attention[h][:, :, None] * (values[:, h] @ weight[h])[None] for h in range(4)
        ])  # fmt: skip
        whole = vectors.sum((0, 2))
        bias = getattr(projection, "bias", None)
        with_bias = whole if bias is None else whole + bias.detach()
        torch.testing.assert_close(with_bias, seen[names[1]][0][1], atol=1e-5, rtol=1e-5)
        if bias is not None:
            assert (whole - seen[names[1]][0][1]).abs().max() > 0.1
        expected = vectors.norm(dim=-1).numpy()
        np.testing.assert_allclose(own.heads[layer], expected, atol=1e-5)
        expected = vectors.sum(0).norm(dim=-1).numpy()
        np.testing.assert_allclose(own.layers[layer], expected, atol=1e-5)
        assert np.abs(own.heads[layer].sum(0) - expected).max() > 0.1


def test_the_score_is_the_goals_rows_averaged_over_layers(
    ready: Callable[..., SimpleNamespace],
) -> None:
    case = ready("bert", "encoder")
    maps = norm_maps(case.model, case.encodings)
    scores = attention_norms(case.model, case.encodings, case.goals, seed=0)
    for own, score in zip(maps, scores, strict=True):
        np.testing.assert_allclose(score, own.layers.mean((0, 1)), rtol=1e-6)


def test_rows_in_blocks_are_the_same(
    ready: Callable[..., SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = ready("bert", "classification")
    expected = norm_maps(case.model, case.encodings)
    monkeypatch.setattr("bertology.attribution.from_attention.layers._CELLS", 3 * 9 * 32 * 2)
    for own, other in zip(norm_maps(case.model, case.encodings), expected, strict=True):
        np.testing.assert_allclose(own.layers, other.layers, atol=1e-6)


def test_heads_that_no_linear_map_reads_are_refused(
    ready: Callable[..., SimpleNamespace],
) -> None:
    case = ready("bert", "classification", shared=False)
    for block in case.module.bert.encoder.layer:
        dense = block.attention.output.dense
        dense.register_forward_pre_hook(lambda part, arguments: (arguments[0] * 1.5,))
    with pytest.raises(CaptureError, match="No linear map reads the head outputs"):
        norm_maps(case.model, case.encodings)
