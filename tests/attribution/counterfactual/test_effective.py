"""Effective attention: the same output with less of the map, and nothing lost in short texts."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bertology.attribution import prepare
from bertology.attribution.counterfactual.effective import effective_attention, ineffective_shares
from bertology.capture import Hook, collate, find_sites, hooked
from bertology.capture.projection import output_weights
from bertology.corpora import Example
from bertology.models import LoadedModel

CaseOf = Callable[[str], SimpleNamespace]
Make = Callable[..., Example]


def drawn(tokens: int, rank: int, width: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention (3, tokens, tokens) and T (3, tokens, width) of a rank."""
    generator = torch.Generator().manual_seed(0)
    attention = torch.randn(3, tokens, tokens, generator=generator, dtype=torch.float64).softmax(-1)
    left = torch.randn(3, tokens, rank, generator=generator, dtype=torch.float64)
    return attention, left @ torch.randn(3, rank, width, generator=generator, dtype=torch.float64)


def test_the_output_is_the_same() -> None:
    attention, transformed = drawn(12, 5)
    found = effective_attention(attention, transformed)
    torch.testing.assert_close(found @ transformed, attention @ transformed, rtol=0, atol=1e-12)
    assert (found - attention).norm() > 0.1 * attention.norm()
    # Rows need not sum to 1, and weights can be negative.
    assert (found < 0).any() and (found.sum(-1) - 1).abs().max() > 0.01
    assert torch.linalg.matrix_rank(found).max() <= 5


def test_what_reaches_no_output_is_projected_away() -> None:
    attention, transformed = drawn(12, 5)
    left = torch.linalg.svd(transformed)[0][..., 5:]
    nothing = torch.randn(3, 12, 7, dtype=torch.float64) @ left.mT
    assert (nothing @ transformed).abs().max() < 1e-12
    found = effective_attention(attention + nothing, transformed)
    torch.testing.assert_close(found, effective_attention(attention, transformed))
    torch.testing.assert_close(effective_attention(found, transformed), found)


@pytest.mark.parametrize("tokens", [2, 5])
def test_nothing_is_lost_where_tokens_are_no_more_than_the_rank(tokens: int) -> None:
    attention, transformed = drawn(tokens, 5)
    torch.testing.assert_close(
        effective_attention(attention, transformed), attention, rtol=0, atol=1e-12
    )


def test_shares_of_a_model(case_of: CaseOf, make_example: Make) -> None:
    """Heads are 8 wide: texts of 8 tokens lose nothing, longer ones do; against T = V·W_O."""
    model = case_of("bert classifier").model
    short = prepare(model, [make_example("w1 w2 w3 w4 w5 w6"), make_example("w7 w8 w9")])
    table = ineffective_shares(model, short, range(2))
    assert len(table) == 12 and table["tokens"].iloc[0] == 6.5
    assert table["mean"].max() < 1e-6 and table["baseline"].max() < 1e-6
    texts = ["w1 w2 w3 w4 w5 w6 w7 w8 w9 w10 w11 w12", "w13 w14 w15 w16 w17 w18 w19 w20 w21"]
    long = prepare(model, [make_example(text) for text in texts])
    table = ineffective_shares(model, long, range(2)).set_index(["layer", "head"])
    assert (table["rank"] == 8).all() and (table["mean"] > 0.01).all()
    site = find_sites(model.module)[1]
    expected = []
    for encoding in long.encodings:
        seen: list[tuple[torch.Tensor, torch.Tensor]] = []
        look = Hook(observe=lambda event, seen=seen: seen.append((event.attention, event.value)))
        with torch.no_grad(), hooked(model.module, look):
            model.module(**collate([encoding], model).inputs)
        attention, value = (one[0, 2].double() for one in seen[1])
        transformed = value @ output_weights(model.module, site)[2].double()
        null = torch.linalg.svd(transformed)[0][:, 8:]
        expected.append(((attention @ null @ null.T).norm() / attention.norm()).item())
    assert table.loc[(1, 2), "mean"] == pytest.approx(np.mean(expected), rel=1e-4)


def test_heads_of_a_decoder_and_shared_value_heads(case_of: CaseOf) -> None:
    for name in ("gpt2 lm", "llama lm"):
        case = case_of(name)
        prepared = prepare(case.model, case.examples)
        table = ineffective_shares(case.model, prepared, range(len(prepared.goals)))
        assert ((table["mean"] >= 0) & (table["mean"] < 1)).all()
        assert table["descriptive"].all()


def test_equal_values_pass_on_nothing_of_a_map(
    constant_values: LoadedModel, make_example: Make
) -> None:
    """T has rank 1, so that of a row only its sum is left, spread evenly: what even rows have."""
    text = "w1 w2 w3 w4 w5 w6 w7 w8 w9 w10"
    prepared = prepare(constant_values, [make_example(text)])
    table = ineffective_shares(constant_values, prepared, [0])
    assert (table["rank"] == 1).all()
    assert table["baseline"].max() < 1e-6
    assert table["mean"].min() > 0.1
