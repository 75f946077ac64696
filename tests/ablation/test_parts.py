"""Parts are named as in figures; what does not exist is refused."""

import numpy as np
import pytest

from bertology import BertologyError
from bertology.ablation import ablate
from bertology.ablation.null_sets import against_null, random_sets
from bertology.ablation.parts import (
    check_parts,
    every_attention,
    every_head,
    every_layer,
    every_mlp,
    every_pair,
    head_set,
    parse_part,
)
from bertology.ablation.structural import prune
from bertology.errors import CaptureError


def test_names_and_their_parts(tiny_model):
    module = tiny_model("bert").module
    assert [part.name for part in every_head(module)][4:6] == ["L1H0", "L1H1"]
    for make in (every_head, every_attention, every_mlp, every_layer):
        assert [parse_part(part.name, module) for part in make(module)] == make(module)
    pair = every_pair([(0, 1), (2, 3)])[0]
    assert parse_part("L0H1+L2H3", module) == pair and pair.touched == (0, 2)
    mixed = parse_part("L0H1 + L2 mlp + L1", module)
    assert (mixed.heads, mixed.mlps, mixed.layers) == (((0, 1),), (2,), (1,))
    assert parse_part("L1 attention", module).heads == ((1, 0), (1, 1), (1, 2), (1, 3))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("L3H0", "layers 0 to 2"), ("L1H4", "heads 0 to 3"), ("L9 mlp", "layer 9"),
     ("L5 attention", "layer 5"), ("head 3", "names no part"), ("H3", "names no part")],
)  # fmt: skip
def test_what_does_not_exist_is_refused(tiny_model, text, wanted):
    with pytest.raises(BertologyError, match=wanted):
        parse_part(text, tiny_model("bert").module)


def test_empty_and_doubled_parts_are_refused(tiny_model):
    module = tiny_model("bert").module
    for parts, wanted in (
        ([], "No part"), ([head_set("none", [])], "empty"),
        ([head_set("a", [(0, 1)]), head_set("a", [(0, 2)])], "name 'a'"),
    ):  # fmt: skip
        with pytest.raises(BertologyError, match=wanted):
            check_parts(module, parts)


@pytest.mark.parametrize("bare", [0, 1, 2])
def test_layers_keep_their_numbers_where_one_has_no_heads(tiny_model, random_examples, bare):
    whole, gone = tiny_model("bert", "classification"), [(bare, head) for head in range(4)]
    model = prune(whole, gone)
    examples, parts = random_examples(6, ("0", "1")), every_head(model.module)
    assert [part.name for part in parts] == [
        f"L{layer}H{head}" for layer in range(3) for head in range(4) if layer != bare
    ]
    assert len(every_attention(model.module)) == 2 and len(every_layer(model.module)) == 3
    for text in (f"L{bare}H0", f"L{bare} attention"):
        with pytest.raises(CaptureError, match="pruned"):
            parse_part(text, model.module)
    found = ablate(model, examples, parts=parts, metrics=["loss"], modes=["zero"])
    for part, ablated in zip(parts, found.table.ablated, strict=True):
        further = prune(whole, [*gone, part.heads[0]])
        (own,) = ablate(further, examples, parts=every_layer(further.module)[:1], modes=["zero"],
                        metrics=["loss"]).table.base  # fmt: skip
        assert ablated == pytest.approx(own, abs=1e-5)
    assert found.table.delta.abs().min() > 1e-4


def test_random_sets_have_as_many_heads_in_each_layer():
    own = head_set("mine", [(0, 1), (0, 2), (2, 3)])
    drawn = random_sets(own, [4, 4, 4], 20, seed=1)
    assert len({part.heads for part in drawn}) == 20
    for part in drawn:
        assert sorted(layer for layer, _ in part.heads) == [0, 0, 2]
        assert len(set(part.heads)) == 3 and set(part.heads) != set(own.heads)
    assert drawn == random_sets(own, [4, 4, 4], 20, seed=1)
    assert len(random_sets(own, [4, 4, 4], 100, seed=1)) == 23, "6 x 4 sets, but for itself"
    assert random_sets(head_set("all", [(1, 0), (1, 1)]), [2, 2], 9, seed=0) == []


def test_the_null_is_exact():
    draw = np.random.default_rng(0)
    p = [against_null(x[0], x[1:])["p_null"] for x in draw.normal(size=(4000, 20))]
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.011)
    assert against_null(9.0, draw.normal(size=49))["p_null"] == pytest.approx(1 / 50)
