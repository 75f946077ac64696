"""Interventions, as hooks: per example and per head, so that one batch can hold a sweep.

Every one takes `positions`, the query positions it acts at (all by default; the other rows of
that layer stay as they are), and `stack` and `kind`, which a model with several kinds of
attention needs. Heads are named by tables: (layer, head) or (batch, layer, head), or a list with
one tensor a layer, (head,) or (batch, head), where layers differ in their heads.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

import torch
from torch import Tensor

from ..errors import CaptureError
from .places import Positions, Table, chosen, fits, one_of_a_kind, real_rows, row_at
from .session import Event, Hook
from .shuffle import shuffled
from .sites import Site


def gate_heads(
    gates: Table,
    fill: Tensor | Sequence[Tensor] | None = None,
    *,
    positions: Positions = None,
    stack: str | None = None,
    kind: str | None = None,
) -> Hook:
    """Multiply each head's output by its gate, and put `fill` in the place of what is missing.

    A gate of 0 removes the head: with `fill` None this is zero ablation, with the head's mean
    output over a data set it is mean ablation. Gates may require gradients. The fast kernel
    stays.

    Args:
        gates: a table of numbers.
        fill: (layer, head, width), or for each layer (head, width).

    Raises:
        CaptureError: as the session opens, if the gates do not fit the model.
    """

    def gated(event: Event) -> Tensor:
        output = event.head_output
        gate = row_at(gates, event, output.device).to(output.dtype)[:, None, :, None]
        kept = output * gate
        return kept if fill is None else kept + (1 - gate) * fill[event.site.layer].to(kept)

    return _output_hook(gated, None, positions, stack, kind, check=fits(gates))


def patch_heads(
    outputs: Mapping[int, Tensor],
    heads: Table | None = None,
    *,
    positions: Positions = None,
    stack: str | None = None,
    kind: str | None = None,
) -> Hook:
    """Use the given head outputs, of other texts for instance; the fast kernel stays.

    Args:
        outputs: for each layer (batch or 1, query or 1, head, width).
        heads: a table, True where the head is replaced (default: every head).

    Raises:
        CaptureError: outputs of another shape, or a table that does not fit the model.
    """

    def given(event: Event) -> Tensor:
        output = event.head_output
        return _expanded(outputs[event.site.layer], output, "Head outputs", event.site).to(output)

    return _output_hook(given, heads, positions, stack, kind, layers=frozenset(outputs))


def resample_heads(
    heads: Table,
    source: Sequence[int] | Tensor,
    *,
    positions: Positions = None,
    stack: str | None = None,
    kind: str | None = None,
) -> Hook:
    """Give each example the head outputs of another example of the batch; the fast kernel stays.

    Args:
        heads: a table, True where the head is replaced.
        source: (batch,), the example whose head outputs each example gets.

    Raises:
        CaptureError: no such example, or one with padding where this one has tokens.
    """

    def moved(event: Event) -> Tensor:
        output = event.head_output
        index = torch.as_tensor(source, device=output.device)
        if index.shape != output.shape[:1] or not ((index >= 0) & (index < len(output))).all():
            raise CaptureError(
                f"The sources {index.tolist()} were given for a batch of {len(output)}; expected "
                f"one number an example, from 0 to {len(output) - 1}."
            )
        _refuse_padding(event, index, chosen(event, heads, positions, output.device))
        return output[index]

    return _output_hook(moved, heads, positions, stack, kind)


def uniform_attention(
    heads: Table,
    *,
    positions: Positions = None,
    stack: str | None = None,
    kind: str | None = None,
) -> Hook:
    """Spread the attention of the chosen heads evenly over the visible keys.

    This mixes in the mean value vector and is not zero ablation (Kovaleva et al. 2019, 4.6).

    Args:
        heads: a table, True where attention becomes uniform.

    Raises:
        CaptureError: as the session opens, if the table does not fit the model.
    """

    def even(event: Event) -> Tensor:
        visible = event.visible.to(event.attention.dtype)
        return visible / visible.sum(-1, keepdim=True).clamp(min=1)

    return _attention_hook(even, heads, positions, stack, kind)


def permute_attention(
    heads: Table,
    seed: int,
    *,
    positions: Positions = None,
    stack: str | None = None,
    kind: str | None = None,
) -> Hook:
    """Permute each row of the chosen heads over its visible keys, at random.

    The draw depends on the seed, the site, the head, the row and the number of visible keys,
    and not on what else is in the batch or how it is padded.

    Args:
        heads: a table, True where attention is permuted.

    Raises:
        CaptureError: as the session opens, if the table does not fit the model.
    """

    def permuted(event: Event) -> Tensor:
        site = event.site
        name = f"{seed} {site.stack} {site.kind} {site.layer}"
        return shuffled(event.attention, event.visible, real_rows(event), name)

    return _attention_hook(permuted, heads, positions, stack, kind)


def replace_attention(
    maps: Mapping[int, Tensor],
    heads: Table | None = None,
    *,
    positions: Positions = None,
    stack: str | None = None,
    kind: str | None = None,
) -> Hook:
    """Use the given attention in the layers named by the keys.

    Args:
        maps: for each layer (batch or 1, head or 1, query or 1, key).
        heads: a table, True where attention is replaced (default: every head).

    Raises:
        CaptureError: maps of another shape, or a table that does not fit the model.
    """

    def given(event: Event) -> Tensor:
        return _expanded(maps[event.site.layer], event.attention, "Attention", event.site)

    return _attention_hook(given, heads, positions, stack, kind, layers=frozenset(maps))


def explicit_attention() -> Hook:
    """Change nothing, but leave the fast kernel: second derivatives and forward-mode need it.

    torch's fast kernels have no second derivative on the CPU; a Hessian through gates, say, is
    taken inside `hooked(module, gate_heads(gates), explicit_attention())`.
    """
    return Hook(observe=lambda event: None)


def _output_hook(
    new: Callable[[Event], Tensor],
    heads: Table | None,
    positions: Positions,
    stack: str | None,
    kind: str | None,
    *,
    layers: Collection[int] | None = None,
    check: Callable[[tuple[Site, ...]], None] | None = None,
) -> Hook:
    def edit(event: Event) -> Tensor:
        changed = new(event)
        if heads is None and positions is None:
            return changed
        where = chosen(event, heads, positions, changed.device).transpose(1, 2)[..., None]
        return changed.where(where, event.head_output)

    return Hook(
        edit_output=edit,
        layers=layers,
        stacks=None if stack is None else (stack,),
        kinds=None if kind is None else (kind,),
        check=check or _check(heads, layers),
    )


def _attention_hook(
    new: Callable[[Event], Tensor],
    heads: Table | None,
    positions: Positions,
    stack: str | None,
    kind: str | None,
    *,
    layers: Collection[int] | None = None,
) -> Hook:
    def edit(event: Event) -> Tensor:
        changed = new(event).to(event.attention)
        if heads is None and positions is None:
            return changed
        where = chosen(event, heads, positions, changed.device)[..., None]
        return changed.where(where, event.attention)

    return Hook(
        edit_attention=edit,
        layers=layers,
        stacks=None if stack is None else (stack,),
        kinds=None if kind is None else (kind,),
        check=_check(heads, layers),
    )


def _check(
    heads: Table | None, layers: Collection[int] | None
) -> Callable[[tuple[Site, ...]], None]:
    return one_of_a_kind if heads is None else fits(heads, layers)


def _expanded(given: Tensor, like: Tensor, what: str, site: Site) -> Tensor:
    fitting = given.dim() == like.dim() and all(
        own in (1, wanted) for own, wanted in zip(given.shape, like.shape, strict=True)
    )
    if not fitting:
        raise CaptureError(
            f"{what} of shape {tuple(given.shape)} were given for {site}; expected "
            f"{tuple(like.shape)}, where an axis may be 1."
        )
    return given.expand_as(like)


def _refuse_padding(event: Event, source: Tensor, where: Tensor) -> None:
    real = real_rows(event)
    if real is None:
        return
    missing = (real & ~real[source])[:, None] & where
    if missing.any():
        example = int(missing.flatten(1).any(1).nonzero()[0])
        raise CaptureError(
            f"Example {example} has {int(real[example].sum())} tokens and its source, example "
            f"{int(source[example])}, has {int(real[source[example]].sum())}: padding would be "
            "put in the place of tokens. Choose a source that is as long, or positions both have."
        )
