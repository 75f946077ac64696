"""Nested sessions act as one: whoever looks sees the edits of all, in every way into attention."""

from itertools import permutations

import pytest
import torch
import transformers

from bertology import BertologyError
from bertology.capture import Hook, gate_heads, hooked, uniform_attention

SIZES = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
         "intermediate_size": 48, "max_position_embeddings": 80}  # fmt: skip
CONFIGS = {
    "interface": lambda: transformers.BertConfig(**SIZES),
    "tap": lambda: transformers.RoFormerConfig(**SIZES),
    "adapter": lambda: transformers.LongformerConfig(attention_window=4, **SIZES),
}
IDS = torch.arange(8, 20).view(2, 6)


def module_of(way: str) -> torch.nn.Module:
    torch.manual_seed(0)
    module = transformers.AutoModel.from_config(CONFIGS[way]()).eval()
    for parameter in module.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.35)
    return module


def hooks_of(seen: dict) -> dict[str, Hook]:
    gates, even = torch.ones(2, 4), torch.zeros(2, 4, dtype=torch.bool)
    gates[0, 1], even[1, 2] = 0, True

    def keep(event) -> None:
        kept = seen.setdefault(event.site.layer, [])
        kept.append(event.attention.clone())

    return {
        "gate": gate_heads(gates),
        "uniform": uniform_attention(even),
        "look": Hook(observe=keep),
        "late look": Hook(observe=keep, attention=False),
        "rows": Hook(observe=lambda event: None, block=30),
        "some": Hook(observe=lambda event: None, heads=[1]),
    }


@pytest.mark.parametrize("way", CONFIGS)
def test_nested_sessions_act_as_one(way: str) -> None:
    module = module_of(way)
    with torch.no_grad():
        plain = module(IDS)[0]
        for one, other in permutations(hooks_of({}), 2):
            together, apart = {}, {}
            with hooked(module, *(hooks_of(together)[name] for name in (one, other))):
                expected = module(IDS)[0]
            with hooked(module, hooks_of(apart)[one]), hooked(module, hooks_of(apart)[other]):
                found = module(IDS)[0]
            assert torch.allclose(found, expected, atol=1e-5), (one, other)
            changes = bool({"gate", "uniform"} & {one, other})
            assert changes == (not torch.allclose(found, plain, atol=1e-3)), (one, other)
            for layer, maps in together.items():
                for map_, same in zip(maps, apart[layer], strict=True):
                    assert torch.allclose(map_, same, atol=1e-5), (one, other, layer)
        assert torch.equal(module(IDS)[0], plain)


def test_a_head_of_a_mask_that_differs_by_head() -> None:
    module = module_of("interface")
    torch.manual_seed(1)
    mask = torch.rand(2, 4, 6, 6) < 0.6
    mask |= torch.eye(6, dtype=torch.bool)
    whole, some, even = [], [], torch.zeros(2, 4, dtype=torch.bool)
    even[0, 3] = True
    with torch.no_grad():
        with hooked(module, Hook(observe=lambda e: whole.append(e.attention))):
            module(IDS, attention_mask=mask)
        for heads in ([0], [3], [1, 2]):
            with hooked(module, Hook(observe=lambda e: some.append(e.attention), heads=heads)):
                module(IDS, attention_mask=mask)
            assert torch.allclose(some[-2], whole[0][:, heads], atol=1e-6)
        spread = []
        look = Hook(observe=lambda e: spread.append(e.attention))
        with hooked(module, uniform_attention(even), look):
            module(IDS, attention_mask=mask)
    assert torch.allclose(whole[0][~mask], torch.tensor(0.0), atol=1e-6)
    expected = mask[:, 3] / mask[:, 3].sum(-1, keepdim=True)
    assert torch.allclose(spread[0][:, 3], expected)


def test_masks_of_ten_thousand_hide_keys() -> None:
    module, seen = module_of("interface"), []
    mask = torch.zeros(2, 1, 6, 6).masked_fill(torch.ones(6, 6).triu(1).bool(), -10_000.0)
    hook = Hook(observe=lambda e: seen.append(e.visible), attention=False)
    with torch.no_grad(), hooked(module, hook):
        module(IDS, attention_mask=mask)
    assert torch.equal(seen[0][0, 0], torch.ones(6, 6).tril().bool())


def test_edits_of_another_shape_are_refused() -> None:
    module = module_of("interface")
    hook = Hook(edit_attention=lambda event: event.attention[:, :1])
    with pytest.raises(BertologyError, match="edit_attention returned"), hooked(module, hook):
        module(IDS)
