"""torch's own multi-head attention, alone and inside its encoder and decoder."""

import pytest
import torch
from torch import Tensor, nn

from bertology import BertologyError
from bertology.capture import (
    Event,
    Hook,
    declare,
    find_sites,
    gate_heads,
    hooked,
    uniform_attention,
    verify,
)
from bertology.capture.projection import output_weights

LENGTHS = torch.tensor([[7], [5], [3]])
MASK = torch.arange(7) < LENGTHS
IDS = (torch.arange(21).view(3, 7) * 5 + 1) % 60


class Translator(nn.Module):
    """An encoder and a decoder of torch's own layers."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(60, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 48, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.decoder = nn.TransformerDecoder(
            nn.TransformerDecoderLayer(32, 4, 48, batch_first=True), 2
        )

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        states = self.encoder(self.words(ids), src_key_padding_mask=~mask)
        causal = nn.Transformer.generate_square_subsequent_mask(4)
        target = self.words(ids[:, :4])
        return self.decoder(target, states, tgt_mask=causal, memory_key_padding_mask=~mask)


@pytest.fixture(scope="module")
def translator() -> Translator:
    torch.manual_seed(0)
    module = Translator().eval()
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.35)
    declare(module, "MultiheadAttention", example=(IDS, MASK))
    return module


def observed(module: nn.Module, *inputs: Tensor, hooks: tuple[Hook, ...] = ()):
    kept: list[Event] = []
    with torch.no_grad(), hooked(module, *hooks, Hook(observe=kept.append)):
        return kept, module(*inputs)


def test_every_attention_of_encoder_and_decoder_is_found(translator) -> None:
    sites = find_sites(translator)
    assert [(site.stack, site.kind, site.layer) for site in sites] == [
        ("encoder", "self", 0), ("encoder", "self", 1),
        ("decoder", "self", 0), ("decoder", "cross", 0),
        ("decoder", "self", 1), ("decoder", "cross", 1),
    ]  # fmt: skip
    assert all(report.passed for report in verify(translator))


def test_attention_is_what_torch_returns(translator) -> None:
    with torch.no_grad():
        plain = translator(IDS, MASK)
    events, output = observed(translator, IDS, MASK)
    assert torch.allclose(output, plain, atol=1e-4)
    states = translator.words(IDS).detach()
    part = translator.encoder.layers[0].self_attn
    with torch.no_grad():
        _, own = part(states, states, states, key_padding_mask=~MASK, average_attn_weights=False)
    assert torch.allclose(events[0].attention, own, atol=1e-6)
    assert own.max() > 0.4
    for event in events:
        product = torch.einsum("bhqk,bhkd->bqhd", event.attention, event.value)
        assert torch.allclose(product, event.head_output, atol=1e-5)
    assert events[2].attention.triu(1).abs().max() == 0
    assert events[3].attention[2, :, :, 3:].abs().max() == 0


def test_edits_act_and_a_gate_is_a_slice_of_the_projection(translator) -> None:
    site = find_sites(translator)[1]
    weights = output_weights(translator, site)
    assert weights.shape == (4, 8, 32)
    gates = torch.ones(2, 4)
    gates[1, 2] = 0
    gate = gate_heads(gates, stack="encoder")
    _, gated = observed(translator, IDS, MASK, hooks=(gate,))
    weight = translator.encoder.layers[1].self_attn.out_proj.weight
    kept = weight.data.clone()
    weight.data[:, 16:24] = 0
    with torch.no_grad():
        cut = translator(IDS, MASK)
    weight.data.copy_(kept)
    assert torch.allclose(gated, cut, atol=1e-4)
    _, plain = observed(translator, IDS, MASK)
    assert not torch.allclose(gated, plain, atol=1e-2)
    even = uniform_attention(torch.ones(2, 4, dtype=torch.bool), stack="decoder", kind="cross")
    events, evened = observed(translator, IDS, MASK, hooks=(even,))
    assert torch.allclose(events[3].attention[1, 0, 0, :5], torch.full((5,), 0.2))
    assert not torch.allclose(evened, plain, atol=1e-2)


def test_the_module_and_torch_are_left_as_they_were(translator) -> None:
    assert torch.backends.mha.get_fastpath_enabled()

    def fail(event: Event) -> None:
        assert not torch.backends.mha.get_fastpath_enabled()
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        observed(translator, IDS, MASK, hooks=(Hook(observe=fail),))
    assert torch.backends.mha.get_fastpath_enabled()
    assert not any("forward" in part.__dict__ for part in translator.modules())


class Alone(nn.Module):
    def __init__(self, **options) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.attention = nn.MultiheadAttention(32, 4, **options)

    def forward(self, states: Tensor, mask: Tensor | None = None, **named) -> Tensor:
        output, weights = self.attention(states, states, states, attn_mask=mask, **named)
        return torch.cat([output.flatten(), weights.flatten()])


@pytest.mark.parametrize(
    "options",
    [{}, {"batch_first": True}, {"bias": False}, {"kdim": 32, "vdim": 32, "batch_first": True}],
)
@pytest.mark.parametrize("average", [True, False])
def test_every_form_of_the_module_computes_what_it_did(options, average) -> None:
    module, states = Alone(**options).eval(), torch.randn(6, 6, 32)
    causal = torch.ones(6, 6, dtype=torch.bool).triu(1)
    declare(module, "attention", example=(states, causal))
    of_each_head = causal.repeat(24, 1, 1)
    of_each_head[1::4, 1:, 0] = True  # the second head of every text does not see the first token
    for mask in (None, causal, of_each_head, torch.zeros(6, 6).masked_fill(causal, -9)):
        named = {"average_attn_weights": average}
        with torch.no_grad():
            plain = module(states, mask, **named)
        kept: list[Event] = []
        with torch.no_grad(), hooked(module, Hook(observe=kept.append)):
            found = module(states, mask, **named)
            unbatched = None if mask is not None else module(states[:, 0])
        assert torch.allclose(found, plain, atol=1e-6)
        hides = mask is not None and mask.dtype == torch.bool
        assert bool(kept[0].attention.triu(1).any()) != hides
        if unbatched is not None:
            with torch.no_grad():
                assert torch.allclose(unbatched, module(states[:, 0]), atol=1e-6)


def test_keys_that_are_no_tokens_are_refused() -> None:
    module = Alone(add_bias_kv=True)
    declare(module, "attention", example=(torch.randn(4, 2, 32),))
    with pytest.raises(BertologyError, match="add_bias_kv"):
        find_sites(module)
