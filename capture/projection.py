"""Output projections: what turns head outputs into an addition to the residual stream."""

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ..errors import CaptureError
from .session import Event, Hook, session
from .sites import Site
from .ways.trial import trial_of

_known: WeakKeyDictionary[Any, dict[Site, Any]] = WeakKeyDictionary()


def output_weights(module: Any, site: Site) -> Tensor:
    """The slice of W_O of each head: (head, width, hidden).

    Found by a dry run: the first linear map that reads the head outputs as they are.

    Raises:
        CaptureError: no linear map reads the head outputs.
    """
    part = projection_of(module, site)
    if part is None:
        raise CaptureError(
            f"No linear map reads the head outputs of {site}, so the contribution of a head is "
            "not defined; ask for head_output instead."
        )
    return _by_head(part, site.heads)


def projection_of(module: Any, site: Site) -> Any | None:
    """The module that reads the head outputs of a site as they are (of XLNet, the parameter)."""
    if module not in _known:
        _known[module] = _search(module)
    return _known[module].get(site)


def contribution(head_output: Tensor, weights: Tensor) -> Tensor:
    """What each head adds to the residual stream (batch, token, head, hidden), without bias.

    Args:
        head_output: (batch, token, head, width).
        weights: (head, width, hidden), from `output_weights`.
    """
    return torch.einsum("bqhw,hwd->bqhd", head_output, weights.to(head_output.dtype))


def _search(module: Any) -> dict[Site, Any]:
    found: dict[Site, Any] = {}
    waiting: list[tuple[Site, Tensor]] = []

    def wait(event: Event) -> None:
        waiting[:] = [(event.site, event.head_output.detach())]
        own = getattr(module.get_submodule(event.site.module), "o", None)
        if isinstance(own, torch.nn.Parameter) and own.dim() == 3:
            found[event.site] = own  # XLNet keeps (hidden, head, width) without a module

    def compare(part: Any, arguments: tuple[Any, ...], result: Any) -> None:
        if not waiting or not arguments or not isinstance(arguments[0], Tensor):
            return
        site, output = waiting[0]
        if site not in found and _is_same(arguments[0], output):
            found[site] = part
            waiting.clear()

    # After the call, as an adapter may hand over what the projection is about to read.
    handles = [
        part.register_forward_hook(compare)
        for part in module.modules()
        if isinstance(getattr(part, "weight", None), Tensor) and part.weight.dim() > 1
    ]
    try:
        with torch.no_grad(), session(module, Hook(observe=wait, attention=False)):
            trial_of(module).run(module)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _is_same(read: Tensor, output: Tensor) -> bool:
    """Whether a module reads the head outputs: (…, head x width), or (…, channel, token)."""
    flat = output.flatten(2)
    if read.dim() == 3 and read.shape[1] > flat.shape[1] and read.shape[2] == flat.shape[2]:
        read = read[:, : flat.shape[1]]  # some models lengthen texts to whole windows inside
    if read.numel() != flat.numel():
        return False
    if read.dim() == 3 and read.shape == flat.mT.shape and torch.equal(read, flat.mT):
        return True
    return read.shape[-1] == flat.shape[-1] and torch.equal(read.reshape(flat.shape), flat)


def _by_head(part: Any, heads: int) -> Tensor:
    if isinstance(part, torch.nn.Parameter):
        return part.permute(1, 2, 0)
    weight = part.weight
    if weight.dim() == 3:
        weight = weight.squeeze(-1)  # a convolution of width 1
    # transformers' Conv1D keeps (in, out), everything else (out, in).
    reads_rows = type(part).__name__ == "Conv1D"
    matrix = weight if reads_rows else weight.T
    return matrix.unflatten(0, (heads, -1))
