"""Interventions, as hooks: per example and per head, so that one batch can hold a sweep."""

from torch import Tensor

from ..errors import CaptureError
from .session import Event, Hook


def gate_heads(gates: Tensor, fill: Tensor | None = None) -> Hook:
    """Multiply each head's output by its gate, and put `fill` in the place of what is missing.

    A gate of 0 removes the head: with `fill` None this is zero ablation, with the head's mean
    output over a data set it is mean ablation. Gates may require gradients.

    Args:
        gates: (layer, head), or (batch, layer, head) for gates per example.
        fill: (layer, head, width).
    """

    def edit(event: Event) -> Tensor:
        layer = event.site.layer
        if layer >= gates.shape[-2]:
            raise CaptureError(
                f"Gates for {gates.shape[-2]} layers were given, but there is {event.site}; give "
                "a row for each block, also for those that do not attend."
            )
        gate = (gates[layer] if gates.dim() == 2 else gates[:, layer]).to(event.head_output.dtype)
        gate = gate.view(-1, 1, event.site.heads, 1)
        kept = event.head_output * gate
        return kept if fill is None else kept + (1 - gate) * fill[layer].to(kept.dtype)

    return Hook(edit_output=edit)


def uniform_attention(heads: Tensor) -> Hook:
    """Spread the attention of the chosen heads evenly over the visible keys.

    This mixes in the mean value vector and is not zero ablation (Kovaleva et al. 2019, 4.3).

    Args:
        heads: (layer, head), True where attention becomes uniform.
    """

    def edit(event: Event) -> Tensor:
        even = event.visible.to(event.attention.dtype)
        even = even / even.sum(-1, keepdim=True).clamp(min=1)
        chosen = heads[event.site.layer].to(event.attention.device).view(1, -1, 1, 1)
        return even.where(chosen, event.attention)

    return Hook(edit_attention=edit)


def replace_attention(maps: dict[int, Tensor]) -> Hook:
    """Use the given attention (batch, head, query, key) in the layers named by the keys."""
    return Hook(edit_attention=lambda event: maps[event.site.layer], layers=frozenset(maps))
