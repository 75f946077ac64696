"""The rules of layer-wise relevance propagation, as gradients that are not quite gradients.

Inside a `Rules` block every operation that a transformer is made of gives its usual output, and a
gradient such that gradient × input is the relevance of the rule (Achtibat et al. 2024, "AttnLRP",
arXiv 2402.05602, section 3). Operations are met as torch functions, so no architecture is named.
Those without a rule keep their plain gradient; `relevance.conservation` shows whether that does
harm.
"""

import math
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from transformers.activations import ACT2CLS

#: Element-wise functions with f(0) = 0, and their modules where these are written out in Python.
ELEMENTWISE = {
    functional.gelu,
    functional.relu,
    functional.silu,
    functional.mish,
    functional.leaky_relu,
    functional.elu,
    torch.relu,
    torch.tanh,
    torch.Tensor.relu,
    torch.Tensor.tanh,
}
_ACTIVATIONS: tuple[type[torch.nn.Module], ...] = tuple(
    kind
    for kind in (kind[0] if isinstance(kind, tuple) else kind for kind in ACT2CLS.values())
    if isinstance(kind, type) and kind is not torch.nn.Sigmoid
)
_SOFTMAX = {torch.softmax, functional.softmax, torch.Tensor.softmax}
_MATMUL = {torch.matmul, torch.bmm, torch.Tensor.matmul, torch.Tensor.bmm, torch.Tensor.__matmul__}
_PRODUCT = {torch.mul, torch.Tensor.mul, torch.Tensor.__mul__, torch.Tensor.__rmul__}
_ROOT = {torch.rsqrt, torch.Tensor.rsqrt}


class Rules(TorchFunctionMode):
    """Inside the block, gradients follow the rules.

    - linear layers: the ε-rule, R_i = Σ_j x_i w_ij R_j / (z_j + ε sign z_j); biases are in z;
    - element-wise nonlinearities: all relevance goes through;
    - LayerNorm and RMSNorm: the standard deviation is a constant;
    - products of two activations, attention times values and queries times keys among them:
      half to each;
    - softmax: its gradient × input, R_i = x_i (R'_i − s_i Σ R'); or, with `constant_attention`
      (CP-LRP, Ali et al. 2022), attention weights are constants.

    Args:
        module: whose activation modules follow the rule too.
    """

    def __init__(self, module: Any, epsilon: float, *, constant_attention: bool) -> None:
        super().__init__()
        self.module = module
        self.epsilon = epsilon
        self.constant_attention = constant_attention
        self.absorbed: list[Tensor] = []
        """What ε and the softmaxes did not pass on, in parts, once gradients were taken."""
        self._hooks = ExitStack()

    def __enter__(self) -> "Rules":
        for part in self.module.modules():
            if isinstance(part, _ACTIVATIONS):
                self._hooks.callback(part.register_forward_hook(_whole_activation).remove)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._hooks.close()

    def __torch_function__(
        self, function: Any, types: Any, arguments: Any = (), named: dict[str, Any] | None = None
    ) -> Any:
        named = named or {}
        if function in (functional.linear, torch.addmm):
            return self._linear(function(*arguments, **named))
        if function is functional.scaled_dot_product_attention:
            return self._attention(*arguments, **named)
        if function in _SOFTMAX:
            return self._softmax(function, *arguments, **named)
        if function in _MATMUL or function in _PRODUCT:
            return _halves(function, *arguments, **named)
        if function in _ROOT:
            return function(*arguments, **named).detach()
        if function is functional.layer_norm:
            return _layer_norm(*arguments, **named)
        if function is functional.rms_norm:
            return _rms_norm(*arguments, **named)
        if function in ELEMENTWISE:
            return _through(arguments[0], function(*arguments, **named))
        return function(*arguments, **named)

    def _linear(self, output: Tensor) -> Tensor:
        if output.requires_grad and self.epsilon:
            fixed = output.detach()
            stable = fixed + self.epsilon * torch.where(fixed < 0, -1.0, 1.0).to(fixed)
            share = fixed / stable
            output.register_hook(lambda g: self.absorbed.append((g * fixed * (1 - share)).sum()))
            output.register_hook(lambda g: g * share)
        return output

    def _softmax(self, function: Any, scores: Tensor, *arguments: Any, **named: Any) -> Tensor:
        if not scores.requires_grad:
            return function(scores, *arguments, **named)
        if self.constant_attention:
            return function(scores.detach(), *arguments, **named)
        scores = scores.clone()
        weights: Tensor = function(scores, *arguments, **named)
        # Hidden keys have a score near −∞ and a gradient of 0, whose product is no number.
        finite = scores.detach().where(weights.detach() > 0, 0.0)
        weights.register_hook(lambda g: self.absorbed.append((g * weights.detach()).sum()))
        scores.register_hook(lambda g: self.absorbed.append(-(g * finite).sum()))
        return weights

    def _attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        """Torch's fused attention, step by step."""
        if enable_gqa:
            groups = query.shape[-3] // key.shape[-3]
            key, value = (x.repeat_interleave(groups, -3) for x in (key, value))
        scores = _halves(torch.matmul, query, key.transpose(-1, -2))
        scores = scores * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
        if is_causal:
            attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, torch.finfo(scores.dtype).min)
        elif attn_mask is not None:
            scores = scores + attn_mask
        return _halves(torch.matmul, self._softmax(torch.softmax, scores, dim=-1), value)


def _halves(function: Any, *arguments: Any, **named: Any) -> Any:
    """A product; two factors that depend on the input get half the gradient each."""
    left, right = arguments[0], arguments[1] if len(arguments) > 1 else None
    output = function(*arguments, **named)
    both = (left, right)
    if all(isinstance(factor, Tensor) and factor.requires_grad for factor in both):
        output = _scaled(output, 0.5)
    return output


def _scaled(output: Tensor, share: float) -> Tensor:
    output.register_hook(lambda gradient: gradient * share)
    return output


def _through(given: Tensor, output: Tensor) -> Tensor:
    """The output with a gradient such that gradient × input is relevance of the output."""
    if not given.requires_grad:
        return output
    fixed = given.detach()
    safe = fixed.where(fixed != 0, 1.0)
    ratio = (output.detach() / safe).where(fixed != 0, 0.0)
    return given * ratio


def _whole_activation(part: Any, arguments: Any, output: Tensor) -> Tensor:
    """A hook, under which the mode is still on: the product has one factor with a gradient."""
    return _through(arguments[0], output)


def _layer_norm(
    states: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    over = tuple(range(-len(normalized_shape), 0))
    variance = states.detach().float().var(over, keepdim=True, unbiased=False)
    centred = states - states.mean(over, keepdim=True)
    return _affine(centred * torch.rsqrt(variance + eps).to(states.dtype), weight, bias)


def _rms_norm(
    states: Tensor, normalized_shape: Any, weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    over = tuple(range(-len(normalized_shape), 0))
    square = states.detach().float().pow(2).mean(over, keepdim=True)
    small = torch.finfo(states.dtype).eps if eps is None else eps
    return _affine(states * torch.rsqrt(square + small).to(states.dtype), weight, None)


def _affine(states: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    states = states if weight is None else states * weight
    return states if bias is None else states + bias
