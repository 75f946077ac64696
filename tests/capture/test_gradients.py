"""Gradients through attention and gates are the true ones, by the fast kernel where it can."""

from functools import cache

import pytest
import torch
from torch.nn import functional

from bertology.capture import (
    Hook,
    explicit_attention,
    gate_heads,
    hooked,
    replace_attention,
    uniform_attention,
)

from .families import FAMILIES
from .oracles import build, padded

#: The interface, the tap in two layouts, shared key heads, one module for all layers.
FAMILIES_HERE = ["bert", "llama", "deberta", "xlnet", "albert"]
EACH = pytest.mark.parametrize("name", FAMILIES_HERE)
#: These compute their norms in single precision whatever the model has, so that differences
#: have to be larger to stand out of the rounding.
SINGLE = ("llama", "deberta", "t5")


@cache
def model(name, kernel=None):
    """In double precision: finite differences of single precision are mostly rounding."""
    module = build(FAMILIES[name], kernel).double()
    return module, padded(FAMILIES[name], module)


def loss_of(name, *hooks, kernel=None):
    """A scalar that every real token has a part in."""
    module, inputs = model(name, kernel)
    with hooked(module, *hooks):
        return scalar(module(**inputs)[0], inputs)


def scalar(output, inputs, per_example=False):
    weights = torch.linspace(-1, 1, output.shape[-1], dtype=output.dtype)
    rows = (output @ weights) * inputs["attention_mask"]
    return rows.sum(-1) if per_example else rows.sum()


def agrees(name, at, gradient, scale):
    """Whether a central difference is the gradient; `at` gives the loss after a step."""
    step, tolerance = (1e-3, 2e-3) if name in SINGLE else (1e-4, 1e-6)
    with torch.no_grad():
        slope = (at(step) - at(-step)).item() / (2 * step)
    assert slope == pytest.approx(gradient.item(), abs=tolerance * scale.abs().max().item())


def gates_of(*shape):
    generator = torch.Generator().manual_seed(3)
    return torch.rand(*shape, generator=generator, dtype=torch.float64) + 0.5


@EACH
def test_gradients_of_gates_agree_with_finite_differences(name) -> None:
    gates = gates_of(3, 4).requires_grad_()
    (gradient,) = torch.autograd.grad(loss_of(name, gate_heads(gates)), gates)
    assert gradient.abs().min() > 1e-3
    for layer, head in [(0, 0), (1, 2), (2, 3)]:
        one = torch.zeros(3, 4, dtype=torch.float64)
        one[layer, head] = 1

        def at(step, one=one):
            return loss_of(name, gate_heads(gates + step * one))

        agrees(name, at, gradient[layer, head], gradient)


@EACH
def test_gradients_of_attention_agree_with_finite_differences(name) -> None:
    kept = []
    # Only the hook's layer leaves the fast kernel.
    loss = loss_of(name, Hook(observe=kept.append, layers={1}))
    attention = kept[0].attention
    (gradient,) = torch.autograd.grad(loss, attention)
    assert gradient.shape == attention.shape and gradient.abs().max() > 1e-3
    maps = attention.detach()
    for place in [(0, 0, 1, 0), (1, 2, 3, 1), (2, 3, 3, 2)]:

        def at(step, place=place):
            moved = maps.clone()
            moved[place] += step
            return loss_of(name, replace_attention({1: moved}))

        agrees(name, at, gradient[place], gradient)


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama", "albert", "deberta"])
def test_gradients_of_attention_are_those_of_the_eager_model(name) -> None:
    module, inputs = model(name, "eager")
    own = module(**inputs, output_attentions=True)
    theirs = torch.autograd.grad(scalar(own[0], inputs), own.attentions)
    kept = []
    loss = loss_of(name, Hook(observe=kept.append))
    ours = torch.autograd.grad(loss, [event.attention for event in kept])
    assert len(ours) == len(theirs) == 3
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-9)
        assert one.abs().max() > 1e-3


def test_gradients_flow_through_every_kind_of_attention() -> None:
    module, inputs = model("t5")
    gates = {
        ("encoder", "self"): gates_of(3, 4).requires_grad_(),
        ("decoder", "self"): gates_of(2, 4).requires_grad_(),
        ("decoder", "cross"): gates_of(2, 4).requires_grad_(),
    }
    hooks = [gate_heads(g, stack=stack, kind=kind) for (stack, kind), g in gates.items()]

    def loss():
        with hooked(module, *hooks):
            output = module(**inputs)[0]
            return (output @ torch.linspace(-1, 1, 32, dtype=torch.float64))[:, :4].sum()

    found = torch.autograd.grad(loss(), list(gates.values()))
    for gate, gradient in zip(gates.values(), found, strict=True):
        own = gate.detach().clone()

        def at(step, gate=gate, own=own):
            gate.copy_(own)
            gate[1, 2] += step
            return loss()

        agrees("t5", at, gradient[1, 2], gradient)


@EACH
def test_gates_per_example_have_their_gradients_in_one_backward_pass(name) -> None:
    gates = torch.ones(3, 3, 4, dtype=torch.float64, requires_grad=True)
    (together,) = torch.autograd.grad(loss_of(name, gate_heads(gates)), gates)
    module, inputs = model(name)
    one = torch.ones(3, 4, dtype=torch.float64, requires_grad=True)
    with hooked(module, gate_heads(one)):
        losses = scalar(module(**inputs)[0], inputs, per_example=True)
    for row, loss in enumerate(losses):
        (alone,) = torch.autograd.grad(loss, one, retain_graph=True)
        torch.testing.assert_close(together[row], alone, atol=1e-9, rtol=1e-9)


@EACH
def test_the_gradient_of_a_gate_is_head_output_times_its_gradient(name) -> None:
    """Michel et al. 2019: dL/dgate = sum over z * dL/dz, where the gate is 1."""
    gates = torch.ones(3, 3, 4, dtype=torch.float64, requires_grad=True)
    before, after = {}, {}
    loss = loss_of(
        name,
        Hook(edit_output=lambda e: before.setdefault(e.site.layer, e.head_output)),
        gate_heads(gates),
        Hook(observe=lambda e: after.setdefault(e.site.layer, e.head_output), attention=False),
    )
    wanted = [gates, *(after[layer] for layer in range(3))]
    of_gates, *of_outputs = torch.autograd.grad(loss, wanted)
    for layer, gradient in enumerate(of_outputs):
        product = (before[layer] * gradient).sum((1, 3))
        torch.testing.assert_close(of_gates[:, layer], product, atol=1e-9, rtol=1e-9)


def fast_calls(monkeypatch):
    calls, own = [], functional.scaled_dot_product_attention

    def counted(*arguments, **options):
        calls.append(1)
        return own(*arguments, **options)

    monkeypatch.setattr(functional, "scaled_dot_product_attention", counted)
    return calls


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_the_fast_kernel_is_left_only_where_attention_is_on_the_way(name, monkeypatch) -> None:
    gates = torch.ones(3, 4, dtype=torch.float64, requires_grad=True)
    loss_of(name)  # proven before calls are counted
    calls = fast_calls(monkeypatch)

    def count(*hooks):
        calls.clear()
        loss_of(name, *hooks)
        return len(calls)

    kept = []
    assert count() == 3
    assert count(gate_heads(gates)) == 3, "gates need no attention"
    assert count(Hook(observe=lambda e: kept.append(e.head_output), attention=False)) == 3
    assert count(Hook(observe=kept.append, heads=[1])) == 3, "chosen heads are computed beside it"
    assert count(Hook(observe=kept.append, layers={1})) == 2
    assert count(gate_heads(gates), Hook(observe=kept.append)) == 0
    assert count(uniform_attention(torch.ones(3, 4))) == 0


def test_attention_beside_the_fast_kernel_has_no_gradient_and_says_so() -> None:
    kept = []
    loss = loss_of("bert", Hook(observe=kept.append, heads=[1]))
    with pytest.raises(RuntimeError, match="not have been used in the graph"):
        torch.autograd.grad(loss, kept[0].attention)


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_second_derivatives_need_explicit_attention(name) -> None:
    gates = gates_of(3, 4).requires_grad_()

    def gradient(at, *hooks):
        loss = loss_of(name, gate_heads(at), *hooks)
        return torch.autograd.grad(loss, at, create_graph=True)[0]

    with pytest.raises(RuntimeError, match="derivative"):
        torch.autograd.grad(gradient(gates)[1, 2], gates)
    (row,) = torch.autograd.grad(gradient(gates, explicit_attention())[1, 2], gates)

    def at(step):
        moved = gates.detach().clone()
        moved[0, 1] += step
        with torch.enable_grad():
            return gradient(moved.requires_grad_())[1, 2]

    agrees(name, at, row[0, 1], row)
    assert abs(row[0, 1].item()) > 1e-3


def test_forward_mode_needs_explicit_attention() -> None:
    gates, direction = gates_of(3, 4), gates_of(3, 4)
    with torch.no_grad():
        _, slope = torch.func.jvp(
            lambda g: loss_of("bert", gate_heads(g), explicit_attention()), (gates,), (direction,)
        )
    reverse = gates.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss_of("bert", gate_heads(reverse)), reverse)
    assert slope.item() == pytest.approx((gradient * direction).sum().item(), rel=1e-8)


def test_a_soft_intervention_has_a_gradient() -> None:
    """Between a head's own attention and even attention."""
    mix = torch.zeros((), dtype=torch.float64, requires_grad=True)

    def edit(event):
        even = event.visible / event.visible.sum(-1, keepdim=True)
        return event.attention + mix * (even - event.attention)

    (gradient,) = torch.autograd.grad(loss_of("bert", Hook(edit_attention=edit, layers={1})), mix)

    def at(step):
        mix.fill_(step)
        return loss_of("bert", Hook(edit_attention=edit, layers={1}))

    agrees("bert", at, gradient, gradient)
