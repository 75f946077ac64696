"""Interventions act on the heads, examples and positions they name, and on nothing else."""

from functools import cache

import pytest
import torch

from bertology import BertologyError
from bertology.capture import (
    Hook,
    declare,
    find_sites,
    gate_heads,
    hidden_states,
    hooked,
    patch_heads,
    patch_hidden,
    permute_attention,
    replace_attention,
    resample_heads,
    uniform_attention,
)
from bertology.capture.shuffle import shuffled

from .families import FAMILIES
from .oracles import build, padded

#: Interface, causal, shared key heads, tapped in two layouts, and one module for all layers.
ONE_STACK = ["bert", "gpt2", "llama", "deberta", "xlnet", "albert"]
#: (family, stack, kind): the one-stack families name neither.
PLACES = [(name, None, None) for name in ONE_STACK] + [
    ("t5", "encoder", "self"), ("t5", "decoder", "self"), ("t5", "decoder", "cross"),
]  # fmt: skip
EACH = pytest.mark.parametrize(("name", "stack", "kind"), PLACES)
LAYER, HEAD = 1, 2


@cache
def model(name):
    module = build(FAMILIES[name])
    return module, padded(FAMILIES[name], module)


def run(name, *hooks, rows=slice(None)):
    module, inputs = model(name)
    with torch.no_grad(), hooked(module, *hooks):
        return module(**{key: value[rows] for key, value in inputs.items()})[0]


def seen(name, *hooks, what="attention", stack=None, kind=None):
    """What each layer of a kind has after the hooks."""
    kept = {}

    def observe(event):
        kept[event.site.layer] = getattr(event, what)

    place = {
        "stacks": None if stack is None else (stack,),
        "kinds": None if kind is None else (kind,),
    }
    run(name, *hooks, Hook(observe=observe, attention=what != "head_output", **place))
    return kept


def layers_of(name, stack):
    return 2 if stack == "decoder" else 3


def one_head(name, stack, batch=None):
    """A table that chooses one head of one layer, of one example of the batch."""
    table = torch.zeros(layers_of(name, stack), 4, dtype=torch.bool)
    table[LAYER, HEAD] = True
    if batch is None:
        return table
    tables = torch.zeros(3, *table.shape, dtype=torch.bool)
    tables[batch] = table
    return tables


def every_head(name, stack):
    return torch.ones(layers_of(name, stack), 4, dtype=torch.bool)


def real(name, stack=None):
    """(batch, token), True at tokens of the output that are no padding."""
    mask = model(name)[1].get("decoder_attention_mask" if stack else "attention_mask")
    output = run(name)
    return torch.ones(output.shape[:2], dtype=torch.bool) if mask is None else mask.bool()


def apart(one, other, name):
    rows = real(name, name == "t5")
    return (one - other)[rows].abs().max().item()


@EACH
def test_zero_is_the_projection_without_the_slice_of_the_head(name, stack, kind) -> None:
    gates = 1 - one_head(name, stack).float()
    shared = name == "albert"
    if shared:  # the slice of the one module is that of every layer
        gates = torch.ones(3, 4)
        gates[:, HEAD] = 0
    gated = run(name, gate_heads(gates, stack=stack, kind=kind))
    module = build(FAMILIES[name])
    site = next(
        s for s in find_sites(module)
        if s.layer == LAYER and stack in (None, s.stack) and kind in (None, s.kind)
    )  # fmt: skip
    part, place = module.get_submodule(site.module), slice(8 * HEAD, 8 * HEAD + 8)
    with torch.no_grad():
        if name == "xlnet":  # (hidden, head, width)
            part.o[:, HEAD] = 0
        elif name == "gpt2":  # (in, out)
            part.c_proj.weight[place] = 0
        else:
            weight = {
                "bert": lambda: module.encoder.layer[LAYER].attention.output.dense,
                "deberta": lambda: module.encoder.layer[LAYER].attention.output.dense,
                "llama": lambda: part.o_proj,
                "t5": lambda: part.o,
                "albert": lambda: part.dense,
            }[name]().weight
            weight[:, place] = 0
        cut = module(**model(name)[1])[0]
    assert apart(gated, cut, name) < 1e-4
    assert apart(gated, run(name), name) > 1e-2


@EACH
def test_mean_puts_the_fill_in_the_place_of_the_head(name, stack, kind) -> None:
    gates = 1 - one_head(name, stack).float()
    fill = torch.randn(layers_of(name, stack), 4, 8, generator=torch.Generator().manual_seed(1))
    before = seen(name, what="head_output", stack=stack, kind=kind)
    for given in (fill, list(fill)):
        hook = gate_heads(gates, given, stack=stack, kind=kind)
        kept = seen(name, hook, what="head_output", stack=stack, kind=kind)
        assert torch.equal(
            kept[LAYER][:, :, HEAD], fill[LAYER, HEAD].expand_as(kept[LAYER][:, :, HEAD])
        )
        others = [0, 1, 3]
        assert torch.equal(kept[LAYER][:, :, others], before[LAYER][:, :, others])


@EACH
def test_replacing_a_map_by_itself_changes_nothing(name, stack, kind) -> None:
    maps = seen(name, stack=stack, kind=kind)
    same = run(name, replace_attention(maps, stack=stack, kind=kind))
    assert apart(same, run(name), name) < 2e-4
    other = {LAYER: maps[LAYER].flip(1)}
    assert apart(run(name, replace_attention(other, stack=stack, kind=kind)), same, name) > 1e-2
    # Of the flipped map only the chosen head, which is what the model goes on with.
    table = one_head(name, stack)
    kept = seen(
        name, replace_attention(other, table, stack=stack, kind=kind), stack=stack, kind=kind
    )
    assert torch.equal(kept[LAYER][:, HEAD], other[LAYER][:, HEAD])
    assert torch.allclose(kept[LAYER][:, HEAD + 1], maps[LAYER][:, HEAD + 1], atol=1e-6)


@EACH
def test_uniform_is_even_over_visible_keys_and_is_not_zero(name, stack, kind) -> None:
    table = one_head(name, stack)
    place = {"stack": stack, "kind": kind}
    uniform = uniform_attention(table, **place)
    kept, visible = seen(name, uniform, **place), seen(name, what="visible", **place)
    even = visible[LAYER] / visible[LAYER].sum(-1, keepdim=True)
    assert torch.allclose(kept[LAYER][:, HEAD], even[:, 0].nan_to_num(), atol=1e-7)
    once = run(name, uniform)
    assert torch.equal(run(name, uniform, uniform), once), "it is uniform already"
    zero = run(name, gate_heads(1 - table.float(), **place))
    assert apart(once, run(name), name) > 1e-2 and apart(once, zero, name) > 1e-2


@EACH
def test_permuted_rows_hold_the_same_weights_on_visible_keys(name, stack, kind) -> None:
    table, place = one_head(name, stack), {"stack": stack, "kind": kind}
    before, visible = seen(name, **place), seen(name, what="visible", **place)
    permuted = seen(name, permute_attention(table, seed=3, **place), **place)
    rows = visible[LAYER].any(-1)[:, 0]
    own, new = (kept[LAYER][:, HEAD][rows] for kept in (before, permuted))
    assert torch.equal(own.sort(-1).values, new.sort(-1).values)
    assert not torch.equal(own, new)
    hidden = ~visible[LAYER].expand(-1, 4, -1, -1)[:, HEAD][rows]
    assert torch.equal(new[hidden], own[hidden]), "what the mask hides is not moved"
    assert torch.equal(permuted[LAYER][:, HEAD + 1], before[LAYER][:, HEAD + 1])
    # A constant row stays what it is, and a seed is one draw.
    both = (uniform_attention(table, **place), permute_attention(table, seed=3, **place))
    assert torch.equal(run(name, *both), run(name, both[0]))
    again, other = (run(name, permute_attention(table, seed=s, **place)) for s in (3, 4))
    assert torch.equal(again, run(name, permute_attention(table, seed=3, **place)))
    assert not torch.equal(again, other)


@pytest.mark.parametrize("name", ["bert", "gpt2", "deberta"])
def test_permutations_do_not_depend_on_the_batch_and_its_padding(name) -> None:
    module, hook = model(name)[0], permute_attention(every_head(name, None), seed=1)
    together = run(name, hook)
    for row, length in enumerate(FAMILIES[name].lengths):
        for side in ("right", "left"):
            alone = padded(FAMILIES[name], module, side, only=row)
            with torch.no_grad(), hooked(module, hook):
                single = module(**alone)[0][0]
                batch = module(**padded(FAMILIES[name], module, side))[0][row]
            place = slice(0, length) if side == "right" else slice(-length, None)
            torch.testing.assert_close(batch[place], single, atol=1e-4, rtol=0)
            torch.testing.assert_close(together[row, :length], single, atol=1e-4, rtol=0)


def test_every_permutation_is_as_likely() -> None:
    attention = torch.arange(1.0, 5).expand(1, 2, 3000, 4)
    visible = torch.tensor([True, True, False, True]).expand(1, 1, 3000, 4)
    new = shuffled(attention, visible, None, "seed")
    assert (new[..., 2] == 3).all()
    for column in (0, 1, 3):
        for weight in (1, 2, 4):
            assert (new[..., column] == weight).float().mean() == pytest.approx(1 / 3, abs=0.03)
    orders, counts = new.view(-1, 4).unique(dim=0, return_counts=True)
    assert len(orders) == 6 and counts.min() > 800
    assert not torch.equal(new[:, 0], new[:, 1]), "heads have draws of their own"


@EACH
def test_gates_per_example_in_one_batch_equal_separate_runs(name, stack, kind) -> None:
    place = {"stack": stack, "kind": kind}
    generator = torch.Generator().manual_seed(2)
    gates = torch.rand(3, layers_of(name, stack), 4, generator=generator)
    together = run(name, gate_heads(gates, **place))
    in_lists = run(name, gate_heads(list(gates.transpose(0, 1)), **place))
    assert torch.equal(together, in_lists)
    rows = real(name, name == "t5")
    for row in range(3):
        alone = run(name, gate_heads(gates[row], **place), rows=slice(row, row + 1))
        assert torch.allclose(together[row][rows[row]], alone[0][rows[row]], atol=1e-4)
    assert apart(together, run(name), name) > 1e-2


@EACH
@pytest.mark.parametrize("make", [uniform_attention, lambda t, **k: permute_attention(t, 5, **k)])
def test_attention_is_edited_in_the_chosen_examples_only(name, stack, kind, make) -> None:
    place = {"stack": stack, "kind": kind}
    mixed, bare = run(name, make(one_head(name, stack, batch=1), **place)), run(name)
    rows = real(name, name == "t5")
    for row in (0, 2):
        assert torch.allclose(mixed[row][rows[row]], bare[row][rows[row]], atol=2e-4)
    assert (mixed[1] - bare[1])[rows[1]].abs().max() > 1e-2


@EACH
def test_resampling_takes_the_head_of_another_example(name, stack, kind) -> None:
    table, place = one_head(name, stack), {"stack": stack, "kind": kind}
    before = seen(name, what="head_output", **place)
    own = run(name, resample_heads(table, [0, 1, 2], **place))
    assert torch.equal(own, run(name, Hook(observe=lambda e: None, attention=False)))
    # The lengths differ: the first positions are tokens in every text.
    hook = resample_heads(table, [1, 2, 0], positions=[0, 1], **place)
    kept = seen(name, hook, what="head_output", **place)
    assert torch.equal(kept[LAYER][:, :2, HEAD], before[LAYER][[1, 2, 0], :2, HEAD])
    assert torch.equal(kept[LAYER][:, 2:], before[LAYER][:, 2:])
    assert torch.equal(kept[LAYER][:, :, HEAD + 1], before[LAYER][:, :, HEAD + 1])


def test_resampling_never_puts_padding_in_the_place_of_tokens() -> None:
    table = one_head("bert", None)
    with pytest.raises(BertologyError, match=r"Example 0 has 9 tokens and its source, example 1"):
        run("bert", resample_heads(table, [1, 1, 2]))
    run("bert", resample_heads(table, [0, 0, 0]))  # the first text is the longest
    with pytest.raises(BertologyError, match=r"sources \[0, 3, 1\].*from 0 to 2"):
        run("bert", resample_heads(table, [0, 3, 1]))


@EACH
def test_patched_head_outputs_are_what_the_model_goes_on_with(name, stack, kind) -> None:
    place = {"stack": stack, "kind": kind}
    before = seen(name, what="head_output", **place)
    assert torch.equal(
        run(name, patch_heads(before, **place)),
        run(name, Hook(observe=lambda e: None, attention=False)),
    )
    given = {LAYER: torch.full((1, 1, 4, 8), 0.7)}
    kept = seen(name, patch_heads(given, one_head(name, stack), **place),
                what="head_output", **place)  # fmt: skip
    assert (kept[LAYER][:, :, HEAD] == 0.7).all()
    assert torch.equal(kept[LAYER][:, :, HEAD + 1], before[LAYER][:, :, HEAD + 1])


@EACH
def test_chosen_positions_are_the_only_rows_that_change(name, stack, kind) -> None:
    place = {"stack": stack, "kind": kind}
    table = one_head(name, stack)
    mask = torch.zeros(3, before_rows(name, place), dtype=torch.bool)
    mask[0, 1] = mask[2, 0] = True
    hooks = [
        lambda where: gate_heads(1 - table.float(), positions=where, **place),
        lambda where: uniform_attention(table, positions=where, **place),
        lambda where: permute_attention(table, 0, positions=where, **place),
        lambda where: patch_heads({LAYER: torch.zeros(1, 1, 4, 8)}, positions=where, **place),
    ]
    before = seen(name, what="head_output", **place)[LAYER]
    for hook in hooks:
        listed = seen(name, hook([1, 3]), what="head_output", **place)[LAYER]
        moved = ~torch.isclose(listed, before, atol=1e-5).all(-1).all(-1)
        assert not moved[:, [0, 2]].any() and not moved[:, 4:].any()
        assert moved[0, 3]
        masked = seen(name, hook(mask), what="head_output", **place)[LAYER]
        moved = ~torch.isclose(masked, before, atol=1e-5).all(-1).all(-1)
        assert not moved[~mask].any()
    assert torch.equal(listed[:, [1, 3]], torch.zeros_like(listed[:, [1, 3]]))


def before_rows(name, place):
    return seen(name, what="head_output", **place)[LAYER].shape[1]


class TwoWidths(torch.nn.Module):
    """Two layers with two heads and with one, by a softmax of their own."""

    class Layer(torch.nn.Module):
        def __init__(self, heads):
            super().__init__()
            self.heads = heads
            self.into = torch.nn.Linear(8, 12 * heads)
            self.out = torch.nn.Linear(4 * heads, 8)

        def forward(self, x):
            parts = self.into(x).view(*x.shape[:2], 3, self.heads, 4).permute(2, 0, 3, 1, 4)
            attention = (parts[0] @ parts[1].transpose(-1, -2)).softmax(-1)
            return x + self.out((attention @ parts[2]).transpose(1, 2).flatten(2))

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleList([self.Layer(2), self.Layer(1)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def test_layers_may_differ_in_their_heads() -> None:
    torch.manual_seed(0)
    module, x = TwoWidths(), torch.randn(2, 5, 8)
    declare(module, "Layer", example=[x])
    table = [torch.tensor([1.0, 0.0]), torch.tensor([[1.0], [0.0]])]
    kept = []
    with torch.no_grad(), hooked(module, gate_heads(table), Hook(observe=kept.append)):
        module(x)
    assert (kept[0].head_output[:, :, 1] == 0).all() and (kept[0].head_output[:, :, 0] != 0).all()
    assert (kept[1].head_output[1] == 0).all() and (kept[1].head_output[0] != 0).all()
    with (
        pytest.raises(BertologyError, match=r"2 heads was given.*layer 1.*has 1.*list"),
        hooked(module, gate_heads(torch.ones(2, 2))),
    ):
        pass
    # Its layers are blocks and attention in one; their outputs are hidden states all the same.
    with torch.no_grad(), hidden_states(module) as states:
        output = module(x)
    assert torch.equal(states[0], x) and torch.equal(states[2], output) and len(states) == 3


@pytest.mark.parametrize(
    ("name", "make", "says"),
    [
        ("t5", lambda: gate_heads(torch.ones(3, 4)), r"several kinds.*stack= and kind="),
        ("t5", lambda: gate_heads(torch.ones(2, 4), stack="decoder"), "several kinds"),
        ("t5", lambda: replace_attention({0: torch.ones(1, 1, 1, 9)}), "several kinds"),
        ("t5", lambda: gate_heads(torch.ones(3, 4), stack="decoder", kind="self"),
         "3 layers was given; the model has 2"),
        ("bert", lambda: gate_heads(torch.ones(2, 4)), "2 layers was given; the model has 3"),
        ("bert", lambda: gate_heads([torch.ones(4)] * 4), "4 layers was given"),
        ("bert", lambda: uniform_attention(torch.ones(3, 5)), "5 heads was given"),
        ("bert", lambda: gate_heads(torch.ones(4)), r"shape \(4,\)"),
        ("bert", lambda: gate_heads(torch.ones(2, 3, 4)), "2 examples was given.*batch has 3"),
        ("bert", lambda: gate_heads(torch.ones(3, 4), positions=[9]), r"\[9\] do not exist.*to 8"),
        ("bert", lambda: gate_heads(torch.ones(3, 4), positions=[-1]), r"\[-1\] do not exist"),
        ("bert", lambda: gate_heads(torch.ones(3, 4), positions=torch.ones(2, 9).bool()),
         r"shape \(2, 9\).*\(3, 9\)"),
        ("bert", lambda: replace_attention({1: torch.ones(3, 4, 9, 8)}), r"\(3, 4, 9, 8\)"),
        ("bert", lambda: patch_heads({1: torch.ones(3, 9, 32)}), r"\(3, 9, 32\)"),
        ("bert", lambda: replace_attention({3: torch.ones(1)}), r"Layers \[3\] do not exist"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_model_is_refused(name, make, says) -> None:
    with pytest.raises(BertologyError, match=says):
        run(name, make())


@pytest.mark.parametrize(
    ("name", "stack"),
    [("bert", None), ("llama", None), ("xlnet", None), ("albert", None), ("xlm", None),
     ("openai-gpt", None), ("t5", "encoder"), ("t5", "decoder")],
)  # fmt: skip
def test_patched_hidden_states_are_what_the_model_goes_on_with(name, stack) -> None:
    module, inputs = model(name)
    with torch.no_grad(), hidden_states(module, stack=stack) as states:
        bare = module(**inputs)[0]
    own = [state.clone() for state in states]
    for layer in range(len(own)):
        with torch.no_grad(), patch_hidden(module, layer, own[layer], stack=stack):
            assert torch.equal(module(**inputs)[0], bare)
            assert torch.equal(module(**inputs)[0], bare), "also the second time"
        other = own[layer].flip(1).contiguous()
        kept = other.clone()
        with (
            torch.no_grad(),
            patch_hidden(module, layer, other, [1, 2], stack=stack),
            hidden_states(module, stack=stack) as states,
        ):
            patched = module(**inputs)[0]
        with torch.no_grad(), patch_hidden(module, layer, other, stack=stack):
            module(**inputs)
        assert torch.equal(other, kept), "the given value is not written to"
        assert not torch.allclose(patched, bare, atol=1e-2)
        if name != "xlm":  # XLM goes on to set padding to zero in place
            assert torch.equal(states[layer][:, [1, 2]], other[:, [1, 2]])
        assert torch.equal(states[layer][:, 3:], own[layer][:, 3:])
        assert all(torch.equal(a, b) for a, b in zip(states[:layer], own, strict=False))
        with torch.no_grad(), patch_hidden(module, layer, lambda state: state * 1, stack=stack):
            assert torch.equal(module(**inputs)[0], bare)
    with torch.no_grad():
        assert torch.equal(module(**inputs)[0], bare), "nothing is left behind"


def test_the_patched_state_is_seen_by_transformers_too() -> None:
    module, inputs = model("bert")
    with torch.no_grad():
        module(**inputs, output_hidden_states=True)  # installs hooks of its own, for ever
        with patch_hidden(module, 2, torch.zeros(1, 1, 32)):
            own = module(**inputs, output_hidden_states=True).hidden_states
    assert (own[2] == 0).all() and (own[1] != 0).any()


def test_patches_that_do_not_fit_are_refused() -> None:
    module, inputs = model("bert")
    with (
        pytest.raises(BertologyError, match="no hidden state 4"),
        patch_hidden(module, 4, torch.zeros(1)),
    ):
        pass
    with (
        pytest.raises(BertologyError, match="several stacks"),
        patch_hidden(model("t5")[0], 0, torch.zeros(1)),
    ):
        pass
    with (
        pytest.raises(BertologyError, match=r"\(3, 8, 32\).*\(3, 9, 32\)"),
        patch_hidden(module, 1, torch.zeros(3, 8, 32)),
    ):
        module(**inputs)
