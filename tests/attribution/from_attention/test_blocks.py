"""Encoders are taken apart where the formula gives what they compute, and nowhere else."""

import copy
from collections.abc import Callable
from dataclasses import replace
from types import MethodType, SimpleNamespace

import pytest
import torch

from bertology.attribution.from_attention import alti_maps, decompositions, residual_maps
from bertology.attribution.from_attention.blocks import find_encoder
from bertology.attribution.from_attention.layers import Layer, own_terms, read_layers
from bertology.attribution.from_attention.linear import bias_of, normalised
from bertology.capture import collate, hidden_states
from bertology.errors import CaptureError
from bertology.models import LoadedModel

POST_LN = ["bert", "roberta", "albert", "distilbert", "electra", "ernie"]


def layers_of(case: SimpleNamespace, side: str) -> tuple[list[Layer], list[torch.Tensor]]:
    """The layers of the first text, read in a padded batch, and the hidden states of the model."""
    batch = collate(case.encodings, case.model, side)
    found: list[Layer] = []
    with hidden_states(case.module) as states:
        read_layers(
            case.model, find_encoder(case.module), batch,
            lambda text, layer: found.append(layer) if text == 1 else None,
        )  # fmt: skip
    keep = batch.mask[1].bool()
    return found, [state[1][keep] for state in states]


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("family", POST_LN)
def test_terms_sum_to_what_the_block_computes(
    ready: Callable[..., SimpleNamespace], family: str, side: str
) -> None:
    layers, states = layers_of(ready(family, "classification"), side)
    assert [layer.number for layer in layers] == [0, 1, 2]
    for layer, before, after in zip(layers, states[:-1], states[1:], strict=True):
        torch.testing.assert_close(layer.read, before)
        torch.testing.assert_close(layer.returned, after)
        parts = layer.parts
        ((rows, terms),) = layer.from_attention(layer.transformed())
        bias = bias_of(parts.projection)
        added = layer.mixed - layer.read
        torch.testing.assert_close(terms.sum(1) + bias, added, atol=1e-5, rtol=0)
        assert (terms.sum(1) - added).abs().max() > 0.05  # without the bias it fails
        own_terms(terms, rows).add_(layer.read)
        torch.testing.assert_close(terms.sum(1) + bias, layer.mixed, atol=1e-5, rtol=0)
        norm = parts.attention_norm
        scaled = normalised(terms, layer.mixed, norm)
        shared = normalised(bias.expand_as(layer.mixed)[:, None], layer.mixed, norm)
        whole = scaled.sum(1) + shared[:, 0]
        torch.testing.assert_close(whole + bias_of(norm), layer.normed, atol=1e-5, rtol=0)
        assert (whole - layer.normed).abs().max() > 0.05  # without β it fails
        # Each vector's own deviation is not additive.
        own = torch.nn.functional.layer_norm(terms, terms.shape[-1:], norm.weight, None, norm.eps)
        assert (own.sum(1) + shared[:, 0] + bias_of(norm) - layer.normed).abs().max() > 0.05


@pytest.mark.parametrize("task", ["classification", "masked-lm", "encoder"])
@pytest.mark.parametrize("family", POST_LN)
def test_the_head_is_what_follows_the_last_block(
    ready: Callable[..., SimpleNamespace], family: str, task: str
) -> None:
    case = ready(family, task)
    encoder = find_encoder(case.module)
    assert len(encoder.blocks) == 3
    assert find_encoder(case.module) is encoder
    kinds = [type(part).__name__ for part in encoder.head]
    pooled = family in ("bert", "albert", "roberta", "ernie")
    expected = {
        "classification": ["Linear", "Linear"],
        "masked-lm": ["Linear", "LayerNorm", "Linear"],
        "encoder": ["Linear"] if pooled else [],
    }
    assert kinds == expected[task]


@pytest.mark.parametrize(("family", "task"), [("gpt2", "causal-lm"), ("llama", "classification")])
@pytest.mark.parametrize("read", [residual_maps, alti_maps, decompositions])
def test_models_of_another_kind_are_refused_before_any_text_is_read(
    ready: Callable[..., SimpleNamespace], read: Callable[..., object], family: str, task: str
) -> None:
    case = ready(family, task)
    watch = case.module.register_forward_pre_hook(refuse_texts, with_kwargs=True)
    given = (case.encodings, case.goals) if read is decompositions else (case.encodings,)
    try:
        with pytest.raises(CaptureError, match="only encoders whose layer norms follow"):
            read(case.model, *given)
    finally:
        watch.remove()


def refuse_texts(part: object, arguments: object, named: dict[str, torch.Tensor]) -> None:
    # The dry run reads two texts of six tokens.
    assert named["input_ids"].shape == (2, 6)


class Louder(torch.nn.LayerNorm):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input) * 1.01


class Forgetful(torch.nn.Linear):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return input @ self.weight.T


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("attention.output.LayerNorm", Louder),
        ("output.LayerNorm", Louder),
        ("attention.self.value", Forgetful),
        ("attention.output.dense", Forgetful),
        ("intermediate.dense", Forgetful),
        ("output.dense", Forgetful),
    ],
)
def test_a_module_that_computes_something_else_is_named(
    ready: Callable[..., SimpleNamespace], name: str, kind: type
) -> None:
    case = ready("bert", "classification", shared=False)
    find_encoder(case.module)
    part = case.module.bert.encoder.layer[1].get_submodule(name)
    part.__class__ = kind
    fresh = copy_of(case.model)
    with pytest.raises(CaptureError, match=f"bert.encoder.layer.1.{name} .{kind.__name__}. ret"):
        find_encoder(fresh.module)


def test_a_missing_residual_and_a_nonlinear_extra_are_refused(
    ready: Callable[..., SimpleNamespace],
) -> None:
    case = ready("bert", "classification", shared=False)
    first = case.module.bert.encoder.layer[0]
    kept = first.attention.output.forward
    first.attention.output.forward = MethodType(
        lambda self, hidden, given: self.LayerNorm(self.dense(hidden)), first.attention.output
    )
    with pytest.raises(CaptureError, match=r"layer 0 .* no layer norm of what the block reads"):
        find_encoder(case.module)
    first.attention.output.forward = kept
    second = case.module.bert.encoder.layer[1]
    second.register_forward_pre_hook(lambda part, arguments: (arguments[0] * 2, *arguments[1:]))
    with pytest.raises(CaptureError, match=r"layer 1 .* does not read what the block before"):
        find_encoder(case.module)


def copy_of(model: LoadedModel) -> LoadedModel:
    """Nothing is known yet of a copy."""
    return replace(model, module=copy.deepcopy(model.module))
